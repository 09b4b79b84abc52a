"""Campaigns: many calls, each at the right time and none twice.

- `contact`, `config`, `campaign`: the vocabulary. Pure.
- `windows`, `places`: when and where a callee may be called. Pure.
- `policy`: decides what happens to a contact now. Pure.
- `outcomes`, `callback_tool`: how an attempt ended, and when the callee wants to be called again. Pure.
- `contact_list`: contacts from CSV or from rows, checked. Pure.
- `forecast`, `report`: what a campaign would do, and what it has done, as rows. Pure.
- `store`: what the shells need of a store; `memory_store` keeps it in memory. Pure.
- `attempt_call`: the call of one attempt.
- `runner`: a shell in one process, on a store that does not block.
- `wanted`: the check before dialing.
- `in_process`: one campaign to its end in this process.
- `ring_back`: contacts that call us.
- `interrupts`: Ctrl-C drains, and a second one hangs up.
- `callee_mix`: the simulated callees of a rehearsal (`telephony.rehearsal`).
"""
