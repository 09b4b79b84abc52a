"""The call of one attempt to reach a contact of a campaign: the plan of the call, and the attempt with its outcome
after the call. `runner` and `dialer` use this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..call.options import AgentSource
from ..outbound.dialer import Dialer
from ..outbound.dialing_rules import DialingRules
from ..outbound.placed_call import PlacedCall
from ..outbound.plan import GREETING, CallPlan, LeaveMessage
from .callback_tool import CallbackTool
from .campaign import Campaign
from .contact import Attempt, Contact
from .outcomes import outcome_of
from .policy import calling_hours

__all__ = ["AttemptCall", "Speech"]


@dataclass(frozen=True, slots=True)
class Speech:
    """The agent of a campaign, the type of the result that the agent must find out, and the message for a voicemail.
    `secrets` are available to tools only, and not to the model.
    """

    agent: AgentSource | None
    result: type[Any] | Mapping[str, Any] | None = None
    message: LeaveMessage | None = None
    secrets: Mapping[str, Any] | None = None


class AttemptCall:
    """The call of one attempt to reach a contact. `place` makes a new call. `adopt` follows a call that another process
    made before that process ended. After the call, `ended` returns the attempt with its outcome.
    """

    def __init__(
        self,
        campaign: Campaign,
        contact: Contact,
        attempt: Attempt,
        speech: Speech,
        *,
        rules: DialingRules,
        now: datetime,
    ) -> None:
        config = campaign.config
        zones = calling_hours(contact, config, rules).zones
        self.attempt = attempt
        self.callback = CallbackTool(now, zones[0] if zones else "UTC")
        self.plan = CallPlan(
            contact.number,
            agent=speech.agent,
            data=contact.data,
            result=speech.result,
            machine=speech.message or (None if config.message is None else LeaveMessage(config.message)),
            greeting=config.greeting or GREETING,
            max_s=config.max_s,
            ring_s=config.ring_s,
            secrets=speech.secrets or {},
            timezone=contact.timezone or None,
            extension=contact.extension,
            tools=(self.callback.tool(),),
        )
        self._config = config

    def place(self, dialer: Dialer) -> PlacedCall:
        """Places the call. The id of the attempt identifies the call in its record, so the call is found again if this
        process ends. Raises `CallRefused` if the call is not allowed.
        """
        return dialer.place(self.plan, self.attempt.id)

    def adopt(self, dialer: Dialer) -> PlacedCall:
        """Returns the placed call of an attempt whose process has ended. Searches for the call at Twilio, and never
        places the call again.
        """
        it = self.attempt
        return dialer.adopt(self.plan, it.id, to=it.number, sid=it.sid or None, requested_at=it.started_at)

    @staticmethod
    def was_made(call: PlacedCall) -> bool:
        """Returns whether Twilio got a request for `call`, also if the request failed. `call` must be over. If False,
        the call was not allowed: the number is in another call or on the do-not-call list, or a budget of the server is
        used up. The caller of this method must then remove the attempt.
        """
        return not call.not_cleared

    def ended(self, call: PlacedCall, now: datetime) -> Attempt:
        """Returns the attempt with the outcome of `call`. The call must be over."""
        result = call.result
        assert result is not None
        outcome = outcome_of(
            result,
            wants_result=call.form is not None,
            opted_out=call.live is not None and call.live.opted_out,
            callback_at=self.callback.at,
            abandoned_after_s=self._config.abandoned_after_s,
        )
        return replace(
            self.attempt,
            ended_at=now,
            outcome=outcome,
            sid=result.sid or "",
            answered_by=result.answered_by,
            duration_s=result.duration_s,
            cost=result.cost,
            currency=result.currency,
            result=call.output_json,
            transcript=call.recorded_transcript,
            callback_at=self.callback.at,
            message_left=result.message_left,
            error=result.error,
        )
