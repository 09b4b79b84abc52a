"""The commands and options of `telephony calls`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..audio.containers import RawAudio
from .errors import reporting

__all__ = ["app"]

app = typer.Typer(help="Find, show, play, export and delete calls.", no_args_is_help=True, rich_markup_mode=None)
tests = typer.Typer(help="Turn calls into tests.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tests, name="test")

Folder = Annotated[
    Path | None, typer.Option(help="The folder of journals. [TELEPHONY_JOURNAL_DIR, else calls]", show_default=False)
]
Number = Annotated[
    str | None, typer.Option(help="Calls with this number, on either side, also if it is masked.", show_default=False)
]
From = Annotated[
    str | None, typer.Option("--from", help="The calling number; or a time: 2026-01-31T08:00.", show_default=False)
]
To = Annotated[
    str | None, typer.Option(help="The called number; or a time, or a date that includes its day.", show_default=False)
]
OfAgent = Annotated[str | None, typer.Option("--agent", help="Calls in which this agent spoke.", show_default=False)]
Status = Annotated[
    str | None, typer.Option(help="The status (completed, busy...) or the code of the ending.", show_default=False)
]
Since = Annotated[str | None, typer.Option(help="An age (90m, 24h, 7d) or a time.", show_default=False)]


def _filters(**given: str | int | None) -> dict[str, str]:
    return {name.rstrip("_"): str(value) for name, value in given.items() if value is not None}


@app.command("list")
def list_calls(
    from_: From = None,
    to: To = None,
    number: Number = None,
    agent: OfAgent = None,
    status: Status = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="The maximum number of calls. The newest calls are listed.")
    ] = 50,
    folder: Folder = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List calls: the calls in the database, and the calls that have only a journal in the folder. Times are in UTC."""
    from . import call_list as commands

    filters = _filters(from_=from_, to=to, number=number, agent=agent, status=status, since=since, limit=limit)
    with reporting(verbose=False):
        commands.list_calls(folder, filters, json=json)


@app.command("show")
def show_call(
    call: Annotated[str, typer.Argument(help="A CallSid, the beginning of one, or a journal.")],
    folder: Folder = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    wav: Annotated[
        Path | None, typer.Option(help="Write both sides to this stereo WAV file.", show_default=False)
    ] = None,
) -> None:
    """Show the record of a call, its transcript with the part that the caller heard, and the cause of each
    interruption.
    """
    from . import calls as commands

    with reporting(verbose=False):
        commands.show_call(call, folder, json=json, wav=wav)


@app.command("play")
def play_call(
    call: Annotated[str, typer.Argument(help="An id, a CallSid, the beginning of one, or a journal.")],
    folder: Folder = None,
) -> None:
    """Play both sides of a call."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.play_call(call, folder)


@app.command("export")
def export_calls(
    call: Annotated[
        str | None, typer.Argument(help="A call. Default: all calls that match the filters.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option(help="The file. Of one call: .wav, .json or .csv; of several: .json or .csv.")
    ] = Path("calls.csv"),
    from_: From = None,
    to: To = None,
    number: Number = None,
    agent: OfAgent = None,
    status: Status = None,
    since: Since = None,
    folder: Folder = None,
) -> None:
    """Write a call, or the list of calls, to a file."""
    from . import call_list, calls

    filters = _filters(from_=from_, to=to, number=number, agent=agent, status=status, since=since)
    with reporting(verbose=False):
        if call is None:
            call_list.export_list(output, filters)
        else:
            calls.export_call(call, output, folder)


@app.command("tasks")
def list_tasks(
    done: Annotated[
        str | None, typer.Option(help="Mark the task of this call as done, and mask its number.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List the callers who left a message and are to be called back."""
    from . import tasks as commands

    with reporting(verbose=False):
        commands.list_tasks(done, json=json)


@app.command("purge")
def purge_calls(
    folder: Folder = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="The maximum age. [TELEPHONY_JOURNAL_DAYS, else 30]", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
) -> None:
    """Delete old journals and, if the records are in a database (DATABASE_URL), old call records and old campaigns that
    have ended.
    """
    from . import calls as commands

    with reporting(verbose=False):
        commands.purge_calls(folder, days, dry_run=dry_run)


@app.command("backup")
def back_up_records(
    output: Annotated[Path, typer.Argument(help="The file of the backup. It must not exist.")],
) -> None:
    """Copy the records to a file while calls continue. Only for records in an SQLite file."""
    from . import backup as commands

    with reporting(verbose=False):
        commands.back_up(output)


@app.command("erase")
def erase_calls(
    number: Annotated[str, typer.Option(help="The number of the person, like +14155550123.")],
    folder: Folder = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Write the receipt to this file. [standard output]", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The numbers file, whose accounts may have recordings.",
            envvar="TELEPHONY_NUMBERS",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Erase a person: records, journals, exports, messages and Twilio's recordings. Print a receipt as JSON."""
    from . import erase as commands

    with reporting(verbose=False):
        commands.erase_number(number, folder, receipt, config)


@app.command("import")
def import_call(
    sources: Annotated[list[Path], typer.Argument(help="Recordings, or logs of media stream messages.")],
    agent_side: Annotated[
        Path | None,
        typer.Option(help="The recording of the agent's side, if each side has a mono file.", show_default=False),
    ] = None,
    caller_only: Annotated[
        bool, typer.Option("--caller-only", help="The recording is mono and has only the caller.")
    ] = False,
    raw: Annotated[
        RawAudio | None,
        typer.Option(help="The recording has no header: ulaw or alaw, 8 kHz. [by the name: .ulaw, .alaw...]",
                     show_default=False),
    ] = None,
    folder: Folder = None,
) -> None:  # fmt: skip
    """Create journals from recordings or logs of other programs. Such journals have no messages of a model, so they
    cannot be replayed. They are callers for `telephony eval`.
    """
    from . import calls as commands

    with reporting(verbose=False):
        commands.import_calls(sources, folder, agent_side=agent_side, caller_only=caller_only, raw=raw)


@tests.command("add")
def add_test(
    call: Annotated[
        str, typer.Argument(help="A CallSid, the beginning of one, a journal, or a folder with several calls.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="The name of the test, and of the recording. [of a folder: its name]", show_default=False),
    ] = None,
    agent: Annotated[str | None, typer.Option(help="module:attribute", show_default=False)] = None,
    into: Annotated[Path, typer.Option(help="The folder of the tests.")] = Path("tests"),
    folder: Folder = None,
) -> None:
    """Create tests from calls. A test has a masked recording of the call, and expects what a replay with the current
    code does. The expectations are meant for editing.

    For a folder with several calls, each call becomes a recording, and one file has all tests.
    """
    from . import calls_tests as commands

    with reporting(verbose=False):
        commands.add_tests(call, name, agent, into, folder)
