"""Calls everybody on a list, and writes down what came of it.

    python -m examples.call_list people.csv --agent examples.remind:agent --result examples.remind:Outcome

`people.csv` has a column `to`; the others are what the agent knows of each. Results go to `people.results.csv`. Start
it again after whatever happened: a row that was called is not called again, and none is left out. For that, each row
is written to `people.state.jsonl` before it is dialled; where a run died in between, Twilio is asked whether it called.
"""

from __future__ import annotations

import asyncio
import csv
import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import Progress

from telephony import CallResult, Care, LeaveMessage, Telephony
from telephony.cli.call import load_model
from telephony.cli.load import load_agent

CLOCK_S = 5.0
"""Our clock and Twilio's may differ by so much."""


class State:
    """What is known of each row, on disk before anything is done about it."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: IO[bytes] = path.open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # two runs at once would call people twice
        self._file.seek(0)
        for line in self._file.read().splitlines():
            try:
                told = json.loads(line)
            except ValueError:  # the line that a run died in
                continue
            self.rows.setdefault(told["row"], {}).update(told)
        self._file.write(b"\n")

    def note(self, row: str, **what: Any) -> None:
        self.rows.setdefault(row, {"row": row}).update(what)
        self._file.write(json.dumps({"row": row, **what}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def sids(self) -> set[str]:
        return {row["sid"] for row in self.rows.values() if row.get("sid")}


class CallList:
    def __init__(self, phone: Telephony, state: State, options: dict[str, Any], settle_s: float) -> None:
        self._phone, self._state, self._options, self._settle_s = phone, state, options, settle_s

    async def do(self, row: str, person: dict[str, str]) -> None:
        """Call this person, unless that was done."""
        known = self._state.rows.get(row, {})
        if known.get("status") and known["status"] != "refused":
            return
        if "asked" in known and known.get("status") != "refused" and await self._was_called(row, person["to"], known):
            return
        self._state.note(row, asked=datetime.now(UTC).isoformat(), status="")
        data = {name: value for name, value in person.items() if name != "to"}
        result = await self._phone.run_call(person["to"], data=data, **self._options)
        self._state.note(row, **_told(result))

    async def _was_called(self, row: str, to: str, known: dict[str, Any]) -> bool:
        """A run died with this row in its hands. Twilio lists a call some seconds late: look when it is settled."""
        asked = datetime.fromisoformat(known["asked"])
        await asyncio.sleep(max(0.0, self._settle_s - (datetime.now(UTC) - asked).total_seconds()))
        while True:
            found = await self._phone.placed_since(to, asked - timedelta(seconds=CLOCK_S))
            call = next((call for call in found if call.sid not in self._state.sids()), None)
            if call is None:
                return False
            if call.status in ("completed", "busy", "failed", "no-answer", "canceled"):
                self._state.note(row, status=call.status, sid=call.sid, error="the run died during this call")
                return True
            await asyncio.sleep(1.0)


def _told(result: CallResult[Any]) -> dict[str, Any]:
    output = {} if result.output is None else result.output.model_dump(mode="json")
    return {"status": result.status, "answered_by": result.answered_by, "sid": result.sid, "error": result.error,
            "message_left": result.message_left, "output": output}  # fmt: skip


def _write_results(path: Path, people: dict[str, dict[str, str]], state: State) -> None:
    """All rows, also those that are not called yet; the file is whole at every moment."""
    columns = ["status", "answered_by", "message_left", "error", "sid"]
    outputs = sorted({name for row in state.rows.values() for name in row.get("output", {})})
    new = path.with_suffix(".new")
    with new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*next(iter(people.values()), {}), *columns, *outputs], restval="")
        writer.writeheader()
        for row, person in people.items():
            known = state.rows.get(row, {})
            told = {name: known.get(name, "") for name in columns}
            writer.writerow({**person, **told, **known.get("output", {})})
    new.replace(path)


def main(
    people: Path,
    agent: Annotated[str, typer.Option(help="module:attribute")],
    result: Annotated[str | None, typer.Option(help="What to find out: module:Model.")] = None,
    message: Annotated[str | None, typer.Option(help="For voicemails.")] = None,
    at_once: Annotated[int, typer.Option(help="Calls at once.")] = 2,
    per_second: Annotated[float, typer.Option(help="Calls begun in a second, at most.")] = 1.0,
    any_hour: Annotated[bool, typer.Option("--any-hour", help="Also at night.")] = False,
    settle_s: Annotated[float, typer.Option(help="When Twilio's listing is to be trusted.")] = 30.0,
) -> None:
    """Call everybody on a list."""
    options: dict[str, Any] = {"agent": load_agent(agent), "max_s": 300.0}
    options["result"] = None if result is None else load_model(result)
    options["machine"] = None if message is None else LeaveMessage(message)
    with people.open(newline="", encoding="utf-8") as file:
        # A row is known by its place and number: do not sort or shorten the list between two runs.
        listed = {f"{n} {person['to']}": person for n, person in enumerate(csv.DictReader(file), 1)}
    state = State(people.with_suffix(".state.jsonl"))

    async def call_all() -> None:
        room = asyncio.Semaphore(at_once)
        care = Care.at_any_hour() if any_hour else None
        async with Telephony.from_env(care=care) as phone, asyncio.TaskGroup() as group:
            calls = CallList(phone, state, options, settle_s)

            async def one(row: str, person: dict[str, str]) -> None:
                try:
                    await calls.do(row, person)
                finally:
                    room.release()
                    _write_results(people.with_suffix(".results.csv"), listed, state)
                    progress.advance(bar)

            for row, person in listed.items():
                await room.acquire()
                group.create_task(one(row, person))
                if not state.rows.get(row, {}).get("status"):
                    await asyncio.sleep(1 / per_second)

    with Progress() as progress:
        bar = progress.add_task("Calling", total=len(listed))
        asyncio.run(call_all())


if __name__ == "__main__":
    typer.run(main)
