"""Campaigns: calls to the contacts of a list. Each call begins within the allowed hours, and no call is made twice.

- `contact`, `config`, `campaign`: the vocabulary. Pure.
- `windows`, `places`: when and where a callee may be called. Pure.
- `policy`: decides what happens to a contact now. Pure.
- `outcomes`, `callback_tool`: how an attempt ended, and when the callee wants to be called again. Pure.
- `contact_list`: contacts from CSV or from rows, checked. Pure.
- `forecast`, `report`: what a campaign would do, and what it has done, as rows. Pure.
- `store`: the interface of the stores of campaigns. `memory_store`: a store in memory. Pure.
- `attempt_call`: the call of one attempt.
- `runner`: runs one campaign in this process, with a store that does not block.
- `wanted`: the check before dialing.
- `in_process`: runs one campaign to its end in this process, for the command line.
- `ring_back`: recognises contacts that call our number.
- `interrupts`: the first Ctrl-C begins no further calls, the second one hangs up the live calls.
"""
