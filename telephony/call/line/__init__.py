"""The phone line: what Twilio sends, what goes to Twilio and when, and what the caller has heard."""
