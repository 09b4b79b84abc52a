"""Reminds a person of an appointment:   TELEPHONY_SIMULATE=1 python -m examples.remind +14155550123 Ada Friday"""

import asyncio
import sys

from pydantic import BaseModel

from realtime_core import RealtimeAgent
from telephony import LeaveMessage, Telephony
from telephony.tools import hang_up

agent = RealtimeAgent(
    name="Reminder", instructions="You remind patients of Blu Dental. Ask whether they will come.", tools=[hang_up()]
)


class Outcome(BaseModel):
    comes: bool


async def main(to: str, name: str, day: str) -> None:
    async with Telephony.from_env() as phone:
        r = await phone.run_call(to, agent=agent, data={"name": name, "day": day}, result=Outcome,
                                 machine=LeaveMessage("Blu Dental: please call us back."), max_s=180)  # fmt: skip
    print(r.status, r.answered_by, r.output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
