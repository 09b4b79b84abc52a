"""Evals: compare a new agent with the current agent. Each case is a simulated phone call that uses the same code as a
real call.

- `statistics`: the comparison of two agents
- `criteria`, `persona`, `cases`: the input of the user
- `call`: makes one call. `evidence`: the facts about the call. `checks`, `judge`: decide whether the call meets a
  criterion
- `run`: makes all calls. `comparison`, `report`, `page`: the result
"""
