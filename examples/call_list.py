"""Calls the people of a list, and writes the results to a file.

    python -m examples.call_list people.csv --agent examples.remind:agent --result examples.remind:Outcome

`people.csv` has a column `to`, and may have `timezone` (like Europe/Berlin, for quiet hours); the others are what the
agent knows of each person. Results go to `people.results.csv`. The program can be started again after any failure: it
calls no row twice and leaves none out. It writes each row to `people.state.jsonl` before it dials. If a run ended in
between, it looks in Twilio's list of calls. Rows may be added, sorted or removed between two runs.
"""

from __future__ import annotations

import asyncio
import csv
import fcntl
import json
import os
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from telephony import CallResult, LeaveMessage, Telephony
from telephony.cli.call import load_model
from telephony.cli.errors import USAGE, CliError, reporting
from telephony.errors import TwilioError
from telephony.import_strings import load_agent

CLOCK_S = 5.0
"""The largest difference between our clock and Twilio's."""
WRITE_EVERY_S = 1.0
OVER = ("completed", "busy", "failed", "no-answer", "canceled")


def read_people(path: Path) -> dict[str, dict[str, str]]:
    """The rows by their key: the number, and a count for a number with several rows."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read: {error}", "It has to be a CSV file in UTF-8.", code=USAGE) from error
    first = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count), restval="", restkey="more")
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    rows = list(reader)
    if not rows or "to" not in rows[0]:
        raise CliError(
            f"{path} has no row with a column `to`.", "The first line names the columns: to,name", code=USAGE
        )
    seen: Counter[str] = Counter()
    people = {}
    for row in rows:
        number = re.sub(r"[^\d+]", "", row["to"]) or row["to"].strip()
        if number:
            seen[number] += 1
            people[f"{number} {seen[number]}"] = {name: value.strip() for name, value in row.items() if name != "more"}
    return people


class State:
    """The state of each row, written to disk before each step."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:  # two runs at once would call people twice
            self._file.close()
            raise CliError(f"Another run is at this list: it holds {path}.", "Wait for it, or end it.") from error
        self._file.seek(0)
        for line in self._file.read().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the line that a run died in
                continue
            self.rows.setdefault(entry["row"], {}).update(entry)
        self._file.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failed: object) -> None:
        self._file.close()

    def note(self, row: str, **what: Any) -> None:
        self.rows.setdefault(row, {"row": row}).update(what)
        self._file.write(json.dumps({"row": row, **what}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def sids(self) -> set[str]:
        return {row["sid"] for row in self.rows.values() if row.get("sid")}

    def is_done(self, row: str) -> bool:
        """Whether the row was called. A call that was refused, or that failed before Twilio made it, does not count."""
        known = self.rows.get(row, {})
        status = known.get("status", "")
        return status not in ("", "refused") and not (status == "failed" and not known.get("sid"))


class CallList:
    def __init__(self, phone: Telephony, state: State, options: dict[str, Any], settle_s: float) -> None:
        self._phone, self._state, self._options, self._settle_s = phone, state, options, settle_s
        self._one_by_one: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def do(self, row: str, person: dict[str, str]) -> None:
        """Call this person, unless an earlier run did."""
        async with self._one_by_one[row.partition(" ")[0]]:  # a number may be on the list twice
            known = self._state.rows.get(row, {})
            if "asked" in known and known.get("status") != "refused" and await self._was_called(row, person["to"]):
                return
            self._state.note(row, asked=datetime.now(UTC).isoformat(), status="", sid=None, error="")
            data = {name: value for name, value in person.items() if name not in ("to", "timezone")}
            zone = person.get("timezone") or None
            result = await self._phone.run_call(person["to"], data=data, timezone=zone, **self._options)
            self._state.note(row, **_summary_of(result))

    async def _was_called(self, row: str, to: str) -> bool:
        """An earlier run ended while it called this row. Twilio lists calls some seconds late: wait."""
        requested = datetime.fromisoformat(self._state.rows[row]["asked"])
        await asyncio.sleep(max(0.0, self._settle_s - (datetime.now(UTC) - requested).total_seconds()))
        while True:
            try:
                found = await self._phone.placed_since(to, requested - timedelta(seconds=CLOCK_S))
            except TwilioError as error:  # so it is left alone, and looked for by the next run
                self._state.note(row, status="", error=f"whether it was called is not known: {error}")
                return True
            call = next((call for call in found if call.sid not in self._state.sids()), None)
            if call is None:
                return False
            if call.status in OVER:
                self._state.note(row, status=call.status, sid=call.sid, error="the run died during this call")
                return True
            await asyncio.sleep(1.0)


def _summary_of(result: CallResult[Any]) -> dict[str, Any]:
    output = {} if result.output is None else result.output.model_dump(mode="json")
    return {"status": result.status, "answered_by": result.answered_by, "sid": result.sid, "error": result.error,
            "message_left": result.message_left, "output": output}  # fmt: skip


class Results:
    """The results: a file that is complete at every moment, and what is printed."""

    def __init__(self, path: Path, people: dict[str, dict[str, str]], state: State, *, as_json: bool) -> None:
        self.path, self._people, self._state, self._as_json = path, people, state, as_json
        self._written_at = -WRITE_EVERY_S

    def tell(self, row: str) -> None:
        if self._as_json:
            typer.echo(json.dumps({**self._people[row], **self._state.rows.get(row, {})}))
        if (now := asyncio.get_running_loop().time()) >= self._written_at + WRITE_EVERY_S:
            self._written_at = now
            self.write()

    def write(self) -> None:
        columns = ["status", "answered_by", "message_left", "error", "sid"]
        outputs = sorted({name for row in self._state.rows.values() for name in row.get("output", {})})
        new = self.path.with_suffix(".new")
        with new.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*next(iter(self._people.values()), {}), *columns, *outputs], restval="")
            writer.writeheader()
            for row, person in self._people.items():
                known = self._state.rows.get(row, {})
                result = {name: known.get(name, "") for name in columns}
                writer.writerow({**person, **result, **known.get("output", {})})
        new.replace(self.path)

    def summary(self) -> str:
        statuses = Counter(self._state.rows.get(row, {}).get("status") or "not called" for row in self._people)
        counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
        again = any(not self._state.is_done(row) for row in self._people)
        return f"{len(self._people)} rows: {counts}. {self.path}" + (
            "; started again, it tries the rest." if again else ""
        )


async def call_all(
    phone: Telephony, calls: CallList, people: dict[str, dict[str, str]], state: State, results: Results,
    *, at_once: int, per_second: float, progress: Progress,
) -> None:  # fmt: skip
    room = asyncio.Semaphore(at_once)
    bar = progress.add_task("Calling", total=len(people))

    async def one(row: str, person: dict[str, str]) -> None:
        try:
            await calls.do(row, person)
        finally:
            room.release()
        results.tell(row)
        progress.advance(bar)

    async with phone, asyncio.TaskGroup() as group:
        for row, person in people.items():
            if state.is_done(row):
                progress.advance(bar)
                continue
            await room.acquire()
            group.create_task(one(row, person))
            await asyncio.sleep(1 / per_second)


def main(
    people: Annotated[Path, typer.Argument(help="A CSV file with a column `to`.")],
    agent: Annotated[str, typer.Option(help="Who calls: module:attribute.")],
    result: Annotated[str | None, typer.Option(help="What to find out: module:Model.", show_default=False)] = None,
    message: Annotated[
        str | None, typer.Option(help="What a voicemail gets; else it is hung up on.", show_default=False)
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 2,
    per_second: Annotated[float, typer.Option(min=0.01, help="Calls begun in a second, at most.")] = 1.0,
    max_s: Annotated[float, typer.Option(min=1, help="A call's length at most.")] = 300.0,
    any_hour: Annotated[bool, typer.Option("--any-hour", help="Also in TELEPHONY_QUIET_HOURS.")] = False,
    settle_s: Annotated[float, typer.Option(help="After how long Twilio's list of calls is to be trusted.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each row.")] = False,
) -> None:
    """Call everybody on a list. Started again, it goes on where it was."""
    with reporting(verbose=False):
        options: dict[str, Any] = {"agent": load_agent(agent), "max_s": max_s}
        options["result"] = None if result is None else load_model(result)
        options["machine"] = None if message is None else LeaveMessage(message)
        listed = read_people(people)
        if "TELEPHONY_SERVER" in os.environ:
            raise CliError("A list is called from this process, not by TELEPHONY_SERVER.", "Unset it.", code=USAGE)
        phone = Telephony.from_env(telephony_quiet_hours="off" if any_hour else None)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        console = Console(stderr=True)
        with State(people.with_suffix(".state.jsonl")) as state:
            results = Results(people.with_suffix(".results.csv"), listed, state, as_json=as_json)
            calls = CallList(phone, state, options, settle_s)
            try:
                with Progress(*columns, console=console) as progress:
                    asyncio.run(call_all(phone, calls, listed, state, results,
                                         at_once=at_once, per_second=per_second, progress=progress))  # fmt: skip
            finally:
                results.write()
                console.print(results.summary(), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
