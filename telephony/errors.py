"""The errors of the phone.

```
TelephonyError
└── JournalError                  a journal cannot be read
```
"""

from __future__ import annotations

__all__ = ["JournalError", "TelephonyError"]


class TelephonyError(Exception):
    """Every error that this package raises on purpose."""


class JournalError(TelephonyError):
    """A journal cannot be read: not there, not a journal, or of a newer schema."""
