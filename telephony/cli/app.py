"""What the command line takes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from .errors import FAILED, reporting

__all__ = ["app"]

app = typer.Typer(
    help="A realtime voice agent on the phone: Twilio Media Streams on one side, a speech model on the other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Agent = Annotated[
    str | None,
    typer.Argument(help="Import string of the agent: module:attribute. Default: the demo's.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more, and show tracebacks.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"telephony-agent {metadata.version('telephony-agent')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    agent: Annotated[
        str | None,
        typer.Argument(
            help="Import string of the agent, or of a mapping of called numbers to agents: module:attribute. "
            "Default: the demo's.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where to listen. [HOST, else 127.0.0.1]", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="0: any free one. [PORT, else 8000]", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Option(help="openai, or scripted: the embedded script, which is no AI.", show_default=False),
    ] = None,
    greeting: Annotated[
        str, typer.Option(help="Instructions for the first words; empty: the caller speaks first.")
    ] = "Greet the caller and ask how you can help.",
    outgoing: Annotated[
        list[str] | None,
        typer.Option(help="Another agent, that POST /calls may name. May come often.", show_default=False),
    ] = None,
    stub_tools: Annotated[bool, typer.Option("--stub-tools", help="Answer for the tools; do not run them.")] = False,
    phone: Annotated[
        bool,
        typer.Option("--phone", help="Have TWILIO_PHONE_NUMBER lead here until the end, through a tunnel if needed."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line with the address when ready.")] = False,
    verbose: Verbose = False,
) -> None:
    """Answer phone calls: /incoming-call is Twilio's webhook, /media-stream the socket."""
    from .serve import run_server

    with reporting(verbose=verbose):
        run_server(
            agent,
            host=host,
            port=port,
            model=model,
            greeting=greeting,
            stub_tools=stub_tools,
            json=json,
            verbose=verbose,
            phone=phone,
            outgoing=outgoing or (),
        )


@app.command()
def demo(
    agent: Agent = None,
    script: Annotated[
        Path | None, typer.Option(help="The embedded model's script, a TOML file.", show_default=False)
    ] = None,
    caller: Annotated[
        str | None,
        typer.Option(help="Who calls: demo, visitor, patient, FILE.toml or module:function.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Use the real model (OPENAI_API_KEY). It costs money.")] = False,
    run_tools: Annotated[
        bool, typer.Option("--run-tools", help="Run the given agent's tools; else stubs answer for them.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="One process, virtual time: a second for the whole call.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="With --fast: the seed. [fresh, and printed]", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the call's folder goes.")] = Path("calls"),
    verbose: Verbose = False,
) -> None:
    """Ring an agent on this machine: server, model and caller are three processes, joined by sockets."""
    from .demo import run_demo

    with reporting(verbose=verbose):
        run_demo(
            agent, script=script, caller=caller, json=json, live=live, run_tools=run_tools, fast=fast, seed=seed,
            folder=folder, verbose=verbose,
        )  # fmt: skip


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Where the REST API listens; 0: any free one.")] = 0,
    account_sid: Annotated[str | None, typer.Option(envvar="TWILIO_ACCOUNT_SID", show_default=False)] = None,
    auth_token: Annotated[str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", show_default=False)] = None,
    voice_url: Annotated[
        str | None, typer.Option(help="The webhook of our number, on this machine.", show_default=False)
    ] = None,
    callee: Annotated[
        list[str] | None,
        typer.Option(help="Who answers: person, voicemail, screening, fax, busy, no-answer, failed, FILE.toml; "
                     "+14155550123=voicemail for one number.", show_default=False),
    ] = None,
    ring: Annotated[
        str | None, typer.Option(help="Have this caller ring our number once, and stop.", show_default=False)
    ] = None,
    calls_per_second: Annotated[float, typer.Option(help="Outbound calls beyond it wait in the queue.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Be Twilio on this machine: REST API, TwiML, signed webhooks, media streams, and people on the phone."""
    from .simulate import run_simulator

    with reporting(verbose=verbose):
        run_simulator(
            port=port, account_sid=account_sid, auth_token=auth_token, voice_url=voice_url, callee=callee or [],
            ring=ring, calls_per_second=calls_per_second, json=json,
        )  # fmt: skip


@app.command()
def doctor(
    trace: Annotated[
        str | None,
        typer.Option(
            help="Say what the line of this recorded call was like (a journal, or a CallSid), as JSON.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="With --trace: where to write it. [standard output]", show_default=False)
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="May the account call this number, like +14155550123?", show_default=False)
    ] = None,
    model_key: Annotated[
        bool, typer.Option("--model-key", help="Try the model's key, too: list the models, which costs nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Check settings, keys, number, webhook, public address, clock and codecs, and say what to do."""
    from .doctor import run_doctor

    with reporting(verbose=verbose):
        run_doctor(traced=trace, output=output, to=to, model_key=model_key, json=json)


Folder = Annotated[
    Path | None, typer.Option(help="The folder of journals. [TELEPHONY_JOURNAL_DIR, else calls]", show_default=False)
]


@app.command()
def replay(
    paths: Annotated[list[str], typer.Argument(help="Journals, folders of them, or call sids.")],
    agent: Annotated[
        str | None, typer.Option(help="Today's agent, module:attribute. Default: as recorded.", show_default=False)
    ] = None,
    mode: Annotated[
        str, typer.Option(help="recorded; simulated (another line); embedded or live (another model).")
    ] = "recorded",
    caller: Annotated[
        str | None, typer.Option(help="Another caller: demo, FILE.toml, module:function.", show_default=False)
    ] = None,
    turns: Annotated[str, typer.Option(help="Of the recorded caller: verbatim or retimed.")] = "verbatim",
    repeat: Annotated[int, typer.Option(min=1, help="So often each; the spread is told.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Compare to the sample and the millisecond.")] = False,
    round_trip_ms: Annotated[float, typer.Option()] = 0.0,
    jitter_ms: Annotated[float, typer.Option()] = 0.0,
    stall_ms: Annotated[float, typer.Option(help="Stalls of the event loop, one in ten seconds.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Probability that a frame of the caller is missing.")] = 0.0,
    noise_dbfs: Annotated[
        float | None, typer.Option(help="Noise on the caller's line, like -40.", show_default=False)
    ] = None,
    disconnect_at_s: Annotated[
        float | None, typer.Option(help="When the model's connection breaks.", show_default=False)
    ] = None,
    slow_tools_ms: Annotated[float, typer.Option(help="Tools take so much longer.")] = 0.0,
    late_marks_ms: Annotated[float, typer.Option(help="Marks come back so much later.")] = 0.0,
    doubled_marks: Annotated[float, typer.Option(help="Probability that a mark comes back twice.")] = 0.0,
    late_clears_ms: Annotated[float, typer.Option(help="A clear reaches the phone so much later.")] = 0.0,
    clear_races: Annotated[
        float, typer.Option(help="Probability that a clear meets a dry line, or marks that come back in disorder.")
    ] = 0.0,
    seed: Annotated[int, typer.Option()] = 0,
    run_tools: Annotated[
        bool, typer.Option("--run-tools", help="Run the agent's own tools, with all that they do.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write one HTML page.", show_default=False)] = None,
    verbose: Verbose = False,
) -> None:
    """Make recorded calls again with today's code, and show the first thing that differs (exit code 3)."""
    from .replay import run_replay

    options = {
        "caller": caller, "turns": turns, "strict": strict, "round_trip_ms": round_trip_ms, "jitter_ms": jitter_ms,
        "stall_ms": stall_ms, "seed": seed, "run_tools": run_tools, "loss": loss, "noise_dbfs": noise_dbfs,
        "disconnect_at_s": disconnect_at_s, "slow_tools_ms": slow_tools_ms, "late_marks_ms": late_marks_ms,
        "doubled_marks": doubled_marks, "late_clears_ms": late_clears_ms, "clear_races": clear_races,
    }  # fmt: skip
    with reporting(verbose=verbose):
        run_replay(paths, mode=mode, agent=agent, repeat=repeat, json=json, junit=junit, html=html, options=options)


number = typer.Typer(help="The numbers of the Twilio account.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(number, name="number")


@number.command("list")
def list_numbers(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The account's numbers, and where their calls go."""
    from . import number as commands

    with reporting(verbose=False):
        commands.list_numbers(json=json)


@number.command("set")
def set_number(
    number: Annotated[str, typer.Argument(help="E.164, like +14155550100.")],
    url: Annotated[str | None, typer.Option(help="[PUBLIC_URL/incoming-call]", show_default=False)] = None,
    fallback_url: Annotated[
        str | None, typer.Option(help="Asked when the first one fails. [the same]", show_default=False)
    ] = None,
) -> None:
    """Have a number's calls come to us. Where they went before is kept, and comes back with `restore`."""
    from . import number as commands

    with reporting(verbose=False):
        commands.set_number(number, url, fallback_url)


@number.command("restore")
def restore_number(
    number: Annotated[
        str | None, typer.Argument(help="Default: every number that was set.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if somebody has changed it since.")] = False,
) -> None:
    """Put back what `set` and `serve --phone` have kept."""
    from . import number as commands

    with reporting(verbose=False):
        commands.restore_number(number, force=force)


calls = typer.Typer(help="The journals of calls.", no_args_is_help=True, rich_markup_mode=None)
tests = typer.Typer(help="Calls as tests.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(calls, name="calls")
calls.add_typer(tests, name="test")


@calls.command("list")
def list_calls(folder: Folder = None, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The calls that are kept."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.list_calls(folder, json=json)


@calls.command("show")
def show_call(
    call: Annotated[str, typer.Argument(help="A call's sid, the beginning of it, or a journal.")],
    folder: Folder = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    wav: Annotated[Path | None, typer.Option(help="Write both sides as a stereo WAV.", show_default=False)] = None,
) -> None:
    """What was said in a call, and what of it was heard."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.show_call(call, folder, json=json, wav=wav)


@calls.command("purge")
def purge_calls(
    folder: Folder = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="[TELEPHONY_JOURNAL_DAYS, else 30]", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
) -> None:
    """Remove journals, and records of calls (DATABASE_URL), that are older than so many days."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.purge_calls(folder, days, dry_run=dry_run)


@calls.command("import")
def import_call(
    source: Annotated[Path, typer.Argument(help="A stereo recording, or logged messages of media streams.")],
    folder: Folder = None,
) -> None:
    """Make journals of calls that others recorded."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.bring_in(source, folder)


@tests.command("add")
def add_test(
    call: Annotated[str, typer.Argument(help="A call's sid, the beginning of it, or a journal.")],
    name: Annotated[str, typer.Option(help="Of the recording and the test.")],
    agent: Annotated[str | None, typer.Option(help="module:attribute", show_default=False)] = None,
    into: Annotated[Path, typer.Option(help="The folder of the tests.")] = Path("tests"),
    folder: Folder = None,
) -> None:
    """From a call to a test: its recording, masked, and expectations with today's values for editing."""
    from . import calls as commands

    with reporting(verbose=False):
        commands.add_test(call, name, agent, into, folder)


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="Whom, like +14155550123.")],
    agent: Annotated[str, typer.Option(help="Import string of the agent: module:attribute.")],
    data: Annotated[
        list[str] | None, typer.Option(help="What the agent knows: name=Ada. May come often.", show_default=False)
    ] = None,
    result: Annotated[
        str | None, typer.Option(help="What to find out: module:Model, a pydantic model.", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option(help="What a voicemail gets; else it is hung up on.", show_default=False)
    ] = None,
    max_s: Annotated[float, typer.Option(help="The call's length at most.")] = 600.0,
    timezone: Annotated[
        str | None, typer.Option(help="Where they are, like Europe/Berlin. [by the number]", show_default=False)
    ] = None,
    any_hour: Annotated[bool, typer.Option("--any-hour", help="Also in TELEPHONY_QUIET_HOURS.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Call nobody: on a simulated Twilio.")] = False,
    callee: Annotated[
        str,
        typer.Option(help="With --simulate: person, voicemail, screening, fax, busy, no-answer, failed, FILE.toml."),
    ] = "person",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
    verbose: Verbose = False,
) -> None:
    """Call somebody. With TELEPHONY_SERVER a running server does it, by one of its agents."""
    from .call import run_call

    with reporting(verbose=verbose):
        completed = run_call(
            to, agent=agent, data=data or [], result=result, message=message, max_s=max_s,
            timezone=timezone, any_hour=any_hour, simulate=callee if simulate else None, json=json,
        )  # fmt: skip
        raise typer.Exit(0 if completed else FAILED)
