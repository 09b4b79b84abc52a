"""Evals: is the new agent better than the old one? Each case is a phone call through the real path.

- `statistics`: the comparison of two agents
- `criteria`, `persona`, `cases`: what the user writes
- `call`: makes one call; `evidence`: what it showed; `checks`, `judge`: whether that is good
- `run`: makes all calls; `comparison`, `report`, `page`: the result
"""
