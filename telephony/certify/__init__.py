"""`telephony certify`: makes calls between two of the user's own numbers, and checks how Twilio's media streams behave
in these calls.

- `call_checks`: the checks, and proposals for values of the simulator that differ from Twilio's. Pure.
- `leg`: one end (leg) of a call, on its media stream. `server`: the webhooks and streams of the calls.
- `scenarios`: the ten calls. `runner`: makes the calls. `report`: the report as HTML and JSON. Pure.
"""
