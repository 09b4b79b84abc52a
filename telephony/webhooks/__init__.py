"""Signed webhooks about ended calls, according to the Standard Webhooks specification
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

- `attempts`: decides the new state of a message after an attempt. Pure.
- `sender`: takes messages from the outbox and sends them.
"""
