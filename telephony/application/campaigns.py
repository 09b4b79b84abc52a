"""Finds the campaigns in the database of the application, and starts the dialer that makes their calls. Without a
database there are no campaigns.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ..web.phone_server import PhoneServer

if TYPE_CHECKING:
    from ..campaigns.campaign import Campaign
    from ..campaigns.contact import Attempt, Contact
    from ..campaigns.dialer import CampaignDialer
    from ..campaigns.service import Campaigns
    from ..outbound.dialer import Dialer

__all__ = ["enter_campaign_dialer", "find_campaigns"]


def find_campaigns(phone: PhoneServer) -> Campaigns | None:
    """Returns the campaigns (lists of people to call) in the database of `phone`, or None if there is no database."""
    if phone.call_records.client.database is None:
        return None
    from ..campaigns.service import campaigns_of

    return campaigns_of(
        phone.call_records.client,
        phone.call_records.subjects.of,
        phone.outgoing,
        phone.dialing_rules,
        is_simulation=phone.settings.is_simulation,
    )


async def enter_campaign_dialer(phone: PhoneServer, dialer: Dialer, stack: AsyncExitStack) -> CampaignDialer | None:
    """Starts the campaign dialer of this process, which makes the calls of campaigns (lists of people to call), and
    adds it to `stack`. Returns the campaign dialer, or None if there is no database.

    `dialer` is the object that places the single calls. The calling code must add `dialer` to `stack` after this
    function. At the end, `dialer` is then closed first and hangs up its calls, and the campaign dialer can still store
    how these calls ended.
    """
    if phone.campaigns is None:
        return None
    from ..campaigns.service import campaign_dialer_of

    registry = phone.registry

    def room(live: int) -> int:
        return registry.max_calls - max(len(registry), live) if phone.takes_calls and not registry.draining else 0

    executor = phone.settings.telephony_instance or "dialer"
    made = campaign_dialer_of(
        phone.campaigns,
        phone.settings,
        dialer,
        phone.opt_outs,
        room=room,
        executor=executor,
        sources=phone.sources,
    )
    if made is None:
        return None
    campaign_dialer, queue = made

    def changed(campaign: Campaign, attempt: Attempt | None, contact: Contact | None) -> None:
        if attempt is not None and attempt.outcome is not None:
            phone.metrics.campaign_attempt(attempt.outcome.value)
        if contact is not None and contact.reason is not None:
            phone.metrics.campaign_contact_done(contact.reason.value)
        if phone.call_records.client.announces:
            phone.call_records.client.on_announced()

    campaign_dialer.on_change = changed
    await stack.enter_async_context(queue)
    return await stack.enter_async_context(campaign_dialer)
