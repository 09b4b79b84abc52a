"""Has a person type the code on their screen:   TELEPHONY_SIMULATE=1 python -m examples.verify +14155550123 4711

The digits go neither to the model nor into a journal. The tool compares them.
"""

from __future__ import annotations

import asyncio
import hmac
import sys

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from telephony import Call, Telephony
from telephony.tools import hang_up


@function_tool
async def check_code(ctx: RunContextWrapper[Call]) -> str:
    """Have them type the code on the keypad, and check it. You ask for it by this tool."""
    call = ctx.context
    for _ in range(3):
        typed = await call.collect_digits("Ask for the four digits on their screen, then the hash key.", max_digits=4)
        if hmac.compare_digest(typed.value.encode(), call.data["code"].encode()):
            call.data["verified"] = True
            return "The code is right. Thank them and say goodbye."
    return "The code was wrong three times. Say that it cannot be verified, and say goodbye."


agent = RealtimeAgent(
    name="Verification",
    instructions="You call for Blu Bank to verify a phone number. Say so, then check the code.",
    tools=[check_code, hang_up()],
)


async def main(to: str, code: str) -> bool:
    async with Telephony.from_env() as phone:
        call = phone.call(to, agent=agent, secrets={"code": code}, max_s=120)
        r = await call.finished()
        verified = call.live is not None and call.data.get("verified", False)
    print("verified" if verified else f"not verified ({r.status})")
    return bool(verified)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:3])) else 1)
