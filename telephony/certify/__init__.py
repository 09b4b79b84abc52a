"""`telephony certify`: calls between two numbers of one's own, which show how Twilio's media streams really behave.

- `findings`: the checks and the corrections of the simulator. Pure.
- `leg`: one end of a call, on its media stream. `server`: the webhooks and streams of the calls.
- `scenarios`: the ten calls. `runner`: makes them. `report`: HTML and JSON. Pure.
"""
