"""A rehearsal: a campaign in virtual time, with a simulated Twilio and simulated callees. `telephony campaign run
--simulate` runs a rehearsal.
"""
