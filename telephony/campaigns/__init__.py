"""Campaigns: many calls, each at the right time and none twice.

- `contact`, `config`, `campaign`: the vocabulary. Pure.
- `windows`, `places`: when and where a callee may be called. Pure.
- `policy`: decides what happens to a contact now. Pure.
- `store`: what the shells need of a store; `memory_store` keeps it in memory.
"""
