"""The former name of `telephony.outbound.dialing_rules`, for programs that import it."""

from __future__ import annotations

from .dialing_rules import DialingRules as Care
from .dialing_rules import e164

__all__ = ["Care", "e164"]
