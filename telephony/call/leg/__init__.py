"""The caller's leg at Twilio: its media stream, the TwiML after a media stream, and the second leg of a transfer."""
