"""What the agent does without a request: it fills pauses, prompts a silent caller, and ends calls that last too long.

Each pure state machine takes `now` (seconds on any steady clock) with each input. Its `deadline` says when to call
`on_time(now)`, which returns what to do. `scheduler` is the shell around them.
"""
