"""When the agent has to do something of its own accord: pure state machines on the time of the call.

Each is told what happens with `now` (seconds on any steady clock), says by `deadline` when it wants `on_time(now)` to
be called next, and answers what is to be done. `telephony.call.conduct` is their shell.
"""
