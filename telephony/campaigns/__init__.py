"""Campaigns: calls to the contacts of a list. Each call begins within the allowed hours, and no call is made twice.

- `contact`, `config`, `campaign`: the data types. Pure.
- `calling_hours`, `places`: when a callee may be called, and where the callee may be. Pure.
- `policy`: decides the next action for a contact. Pure.
- `outcomes`, `callback_tool`: how an attempt ended, and when the callee wants to be called again. Pure.
- `contact_list`: reads and checks contacts from CSV or from rows. Pure.
- `forecast`, `report`: the planned calls and the results of a campaign, as rows. Pure.
- `store`: the interface of the stores of campaigns. `memory_store`: a store in memory. Pure.
- `database_store`: a store in a database, which several processes can use.
- `attempt_call`: the call of one attempt.
- `runner`: runs one campaign in this process, with a store that does not block.
- `dialer`, `attempt_work`: make the calls of all campaigns in the processes of a server.
- `dial_check`: the check before dialing.
- `in_process`: runs one campaign to its end in this process, for the command line.
- `ring_back`: recognises contacts that call the application.
- `interrupts`: handles Ctrl-C. The first Ctrl-C stops new calls, the second Ctrl-C hangs up the live calls.
"""
