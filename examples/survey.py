"""Asks three questions and prints the answers:   TELEPHONY_SIMULATE=1 python -m examples.survey +14155550123"""

from __future__ import annotations

import asyncio
import sys

from pydantic import BaseModel, Field

from realtime_core import RealtimeAgent
from telephony import Telephony
from telephony.tools import hang_up


class Answers(BaseModel):
    rating: int = Field(ge=1, le=5, description="How the stay was: 1 bad, 5 very good.")
    comes_again: bool
    remark: str | None = Field(None, description="In their own words, if they had one.")


agent = RealtimeAgent(
    name="Survey",
    instructions="You call guests of Hotel Blu after their stay. Ask how it was, from one to five; whether they will "
    "come again; and for a remark. One question at a time. Whoever does not want to answer is thanked.",
    tools=[hang_up()],
)


async def main(to: str) -> None:
    async with Telephony.from_env() as phone:
        r = await phone.run_call(to, agent=agent, result=Answers, max_s=300)
    print(r.output.model_dump_json() if r.output else f"{r.status}: no answers {r.error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
