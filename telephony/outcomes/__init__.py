"""The outcome of a call: its result, its summary, and how it reaches the application.

- `result_form`: the result, which the agent fills in with a tool.
- `transcript`: the lines of a conversation, with what was heard of each.
- `call_agent`: adds facts and tools to the agent of a call.
- `realtime_filling`: fills in a result from the transcript in a text session of the realtime model.
"""
