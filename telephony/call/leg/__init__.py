"""The caller's leg, which is the connection between Twilio and the caller: its media stream, the TwiML after a media
stream, and the second leg of a transfer.
"""
