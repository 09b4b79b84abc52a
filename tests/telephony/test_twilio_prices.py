"""Twilio's price of a call becomes known after its end, and is then written to the record. A price that Twilio does not
report stays unknown.
"""

from __future__ import annotations

import asyncio

import pytest

from realtime_core.local import Reply, Script
from telephony import DialingRules
from telephony.outbound.plan import CallPlan
from telephony.simulator import callees
from tests.support.office import office, talks
from tests.telephony.test_every_call_is_recorded import record_of

pytestmark = pytest.mark.virtual_time

SCRIPT = Script(greeting=Reply(say="Hello. How can I help you?"), otherwise=Reply(say="Yes."))
TO = "+14155550123"


@pytest.mark.parametrize(
    "computed_s, after_s, requests", [(0, 70, 1), (300, 700, 2), (3000, 3800, 3), (1e9, 7200, 3)], ids=str
)
async def test_the_price_of_an_inbound_call(computed_s: float, after_s: float, requests: int) -> None:
    async with office(SCRIPT) as (twilio, app):
        twilio.price_after_s = computed_s
        call = await twilio.ring(caller=talks)
        assert (await record_of(app, call.sid)).cost is None, "it is not known yet"
        await asyncio.sleep(after_s)
        row = await record_of(app, call.sid)
        asked = app.state.phone.metrics.registry.get_sample_value(
            "telephony_rest_requests_total", {"action": "call", "code": "ok"}
        )
        spent = app.state.phone.metrics.registry.get_sample_value("telephony_twilio_cost_total", {"currency": "USD"})
    assert asked == requests
    if computed_s < after_s:
        assert (row.cost, row.currency, spent) == (0.014, "USD", 0.014)
        assert row.status == "completed" and row.turns, "the rest of the record stays"
    else:
        assert (row.cost, spent) == (None, None)


async def test_the_price_of_a_placed_call_that_comes_later() -> None:
    async with office(SCRIPT) as (twilio, app):
        twilio.price_after_s = 300.0
        twilio.callees[TO] = callees.person(talks)
        app.state.dialer.rules = DialingRules.none()
        call = app.state.dialer.place(CallPlan(TO))
        result = await call.finished()
        assert result.cost is None
        before = await app.state.phone.call_records.client.call(call.token)
        await asyncio.sleep(700)
        after = await app.state.phone.call_records.client.call(call.token)
    assert before is not None and after is not None
    assert (before.cost, after.cost, after.currency) == (None, 0.014, "USD")


async def test_an_account_that_refuses_leaves_the_price_unknown() -> None:
    async with office(SCRIPT) as (twilio, app):
        call = await twilio.ring(caller=talks)
        await record_of(app, call.sid)
        twilio.auth_token = "changed"
        await asyncio.sleep(7200)
        row = await record_of(app, call.sid)
    assert row.cost is None and row.status == "completed"
