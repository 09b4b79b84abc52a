"""The caller's leg at Twilio: which stream it is on, what follows a stream that ended, and a second leg."""
