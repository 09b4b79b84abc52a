"""The outcome of a call: its result, its summary, and the delivery of both to the application.

- `result_form`: the result, which the agent fills in with a tool.
- `transcript`: the lines of a conversation, with the heard part of each line.
- `call_agent`: adds data and tools to the agent of a call.
- `realtime_filling`: fills in a result from the transcript in a text session of the realtime model.
"""
