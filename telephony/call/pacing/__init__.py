"""The pacing of a call: what the agent does without a request. The agent fills pauses, prompts a silent caller, and
ends calls that last too long.

Each state machine is pure and takes `now` (seconds on any steady clock) with each input. Its `deadline` is the time at
which `on_time(now)` must be called. `on_time` returns the action that is due. `scheduler` connects the state machines
to the event loop.
"""
