"""Calls somebody about an appointment:   TELEPHONY_SIMULATE=1 python -m examples.remind +14155550123 Ada Friday"""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

from pydantic import BaseModel

from realtime_core import RealtimeAgent
from telephony import LeaveMessage, Telephony
from telephony.tools import hang_up

agent = RealtimeAgent(
    name="Reminder",
    instructions="You call for Blu Dental about an appointment. Ask whether they will come. Short sentences.",
    tools=[hang_up()],
)


class Outcome(BaseModel):
    answer: Literal["comes", "cancels", "wants another day"]


async def main(to: str, name: str, day: str) -> None:
    async with Telephony.from_env() as phone:
        r = await phone.run_call(to, agent=agent, data={"name": name, "day": day}, result=Outcome, max_s=180,
                                 machine=LeaveMessage("Blu Dental: please call us back."))  # fmt: skip
    print(r.status, r.answered_by, r.output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
