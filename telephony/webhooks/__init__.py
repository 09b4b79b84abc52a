"""Signed webhooks about ended calls, by the Standard Webhooks specification
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

- `attempts`: what follows from the answer to an attempt. Pure.
- `sender`: takes messages from the outbox of the records and posts them.
"""
