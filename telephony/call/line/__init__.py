"""The phone line: the messages from Twilio, the audio that is sent to Twilio, and how much the caller has heard."""
