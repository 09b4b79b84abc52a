"""The commands and options of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import calls_app, campaign_app, eval_command, number_app, numbers, tokens, versions, webhooks
from . import certify as certifying
from . import probe as probing
from .errors import FAILED, reporting

__all__ = ["app"]

app = typer.Typer(
    help="A realtime voice agent for the phone. It connects Twilio Media Streams with a speech model.",
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
        from importlib import metadata

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
        str | None, typer.Option(help="The address to listen on. [HOST, else 127.0.0.1]", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; 0: any free port. [PORT, else 8000]", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="openai; or scripted: the embedded model, which is no AI.", show_default=False),
    ] = None,
    greeting: Annotated[
        str, typer.Option(help="Instructions for the greeting. Empty: the caller speaks first.")
    ] = "Greet the caller and ask how you can help.",
    outgoing: Annotated[
        list[str] | None,
        typer.Option(help="Another agent, for POST /calls. Can be repeated.", show_default=False),
    ] = None,
    stub_tools: Annotated[bool, typer.Option("--stub-tools", help="Replace the tools by stubs.")] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="For development: start again when a file in this folder changes.")
    ] = False,
    phone: Annotated[
        bool,
        typer.Option(
            "--phone", help="Point TWILIO_PHONE_NUMBER here while the server runs, through a tunnel if needed."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The numbers file. Other numbers are answered by AGENT. [TELEPHONY_NUMBERS]", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line with the address when ready.")] = False,
    verbose: Verbose = False,
) -> None:
    """Answer phone calls. Twilio's webhook is /incoming-call, its WebSocket is /media-stream."""
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
            reload=reload,
            config=config,
        )


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def processes(
    context: typer.Context,
    count: Annotated[
        int, typer.Argument(help="How many processes to run: one for each core, or fewer.", min=1, max=250)
    ],
    port: Annotated[int, typer.Option(help="The port of all processes, on 127.0.0.1, 127.0.0.2, ...")] = 8000,
    proxy: Annotated[
        Path | None,
        typer.Option(help="Run Caddy, too, with this file, such as deploy/Caddyfile.", exists=True, show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line when all processes are ready.")] = False,
    verbose: Verbose = False,
) -> None:
    """Run several servers behind a proxy. The other arguments are those of `telephony serve`, the agent first.

    SIGTERM drains all servers. SIGHUP restarts the servers one after the other, and no call is lost. Linux only.
    """
    from .processes import run_processes

    with reporting(verbose=verbose):
        run_processes(count, port, context.args, proxy=proxy, as_json=json)


@app.command()
def demo(
    agent: Agent = None,
    script: Annotated[
        Path | None, typer.Option(help="A script for the embedded model, as a TOML file.", show_default=False)
    ] = None,
    caller: Annotated[
        str | None,
        typer.Option(help="The caller: demo, visitor, patient, FILE.toml or module:function.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print only the figures, as JSON.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Use the real model (OPENAI_API_KEY). It costs money.")] = False,
    run_tools: Annotated[bool, typer.Option("--run-tools", help="Run the tools of the agent. Default: stubs.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Run the call in virtual time, in one process. It takes about a second.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="With --fast: the seed. [random, and printed]", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option(help="The parent of the call's folder.")] = Path("calls"),
    verbose: Verbose = False,
) -> None:
    """Call an agent on this machine. Server, model and caller are three processes, connected by sockets."""
    from .demo import run_demo

    with reporting(verbose=verbose):
        run_demo(
            agent, script=script, caller=caller, json=json, live=live, run_tools=run_tools, fast=fast, seed=seed,
            folder=folder, verbose=verbose,
        )  # fmt: skip


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    verbose: Verbose = False,
) -> None:
    """Create a new project: an agent, its settings, a recorded call, a test and a README. The command asks no
    questions.
    """
    from .init import run_init

    with reporting(verbose=verbose):
        run_init(folder)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="The port of the REST API; 0: any free port.")] = 0,
    account_sid: Annotated[str | None, typer.Option(envvar="TWILIO_ACCOUNT_SID", show_default=False)] = None,
    auth_token: Annotated[str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", show_default=False)] = None,
    voice_url: Annotated[
        str | None,
        typer.Option(help="The voice webhook of the application's number, on this machine.", show_default=False),
    ] = None,
    callee: Annotated[
        list[str] | None,
        typer.Option(help="The callee: person, voicemail, screening, fax, busy, no-answer, failed, FILE.toml; "
                     "+14155550123=voicemail for one number.", show_default=False),
    ] = None,
    ring: Annotated[
        str | None,
        typer.Option(help="Make one call from this caller to the application's number, then stop.", show_default=False),
    ] = None,
    calls_per_second: Annotated[float, typer.Option(help="The maximum rate of outgoing calls.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Simulate Twilio on this machine: REST API, TwiML, signed webhooks, media streams, callers and callees."""
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
            help="Print figures of the media streams of a recorded call (a journal or a CallSid), as JSON.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="With --trace: the file to write. [standard output]", show_default=False)
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Check whether the account may call this number, like +14155550123.", show_default=False),
    ] = None,
    model_key: Annotated[
        bool, typer.Option("--model-key", help="Also try the model's key: list the models, at no cost.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Check settings, keys, number, webhook, public URL, clock and codecs, and print the remedies."""
    from .doctor import run_doctor

    with reporting(verbose=verbose):
        run_doctor(traced=trace, output=output, to=to, model_key=model_key, json=json)


@app.command()
def replay(
    paths: Annotated[list[str], typer.Argument(help="Journals, folders of journals, or CallSids.")],
    agent: Annotated[
        str | None, typer.Option(help="The agent, module:attribute. Default: as recorded.", show_default=False)
    ] = None,
    mode: Annotated[
        str, typer.Option(help="recorded; simulated (other line); embedded or live (other model).")
    ] = "recorded",
    caller: Annotated[
        str | None, typer.Option(help="Another caller: demo, FILE.toml, module:function.", show_default=False)
    ] = None,
    turns: Annotated[str, typer.Option(help="The turns of the recorded caller: verbatim or retimed.")] = "verbatim",
    repeat: Annotated[int, typer.Option(min=1, help="Replays of each call. More than one also prints the spread.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Compare every sample and every millisecond.")] = False,
    round_trip_ms: Annotated[float, typer.Option(help="The round-trip time of the line.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="The jitter of the line, each way.")] = 0.0,
    stall_ms: Annotated[
        float, typer.Option(help="The length of stalls of the event loop, one every ten seconds.")
    ] = 0.0,
    loss: Annotated[float, typer.Option(help="The probability that a frame of the caller is lost.")] = 0.0,
    noise_dbfs: Annotated[
        float | None, typer.Option(help="The noise on the caller's line, like -40.", show_default=False)
    ] = None,
    disconnect_at_s: Annotated[
        float | None, typer.Option(help="The time at which the model's connection is lost.", show_default=False)
    ] = None,
    slow_tools_ms: Annotated[float, typer.Option(help="The added duration of tools.")] = 0.0,
    late_marks_ms: Annotated[float, typer.Option(help="The added delay of marks.")] = 0.0,
    doubled_marks: Annotated[float, typer.Option(help="The probability that a mark is returned twice.")] = 0.0,
    late_clears_ms: Annotated[float, typer.Option(help="The added delay of `clear` messages.")] = 0.0,
    clear_races: Annotated[
        float, typer.Option(help="The probability that a `clear` meets an empty buffer, or marks in the wrong order.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The seed of the random faults.")] = 0,
    run_tools: Annotated[
        bool, typer.Option("--run-tools", help="Run the agent's own tools, with their side effects.")
    ] = False,
    configure: Annotated[
        str | None, typer.Option(help="A function that changes the options of the calls.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file.", show_default=False)] = None,
    verbose: Verbose = False,
) -> None:
    """Replay recorded calls with the current code, and show the first difference (exit code 3)."""
    from .replay import run_replay

    options = {
        "caller": caller, "turns": turns, "strict": strict, "round_trip_ms": round_trip_ms, "jitter_ms": jitter_ms,
        "stall_ms": stall_ms, "seed": seed, "run_tools": run_tools, "loss": loss, "noise_dbfs": noise_dbfs,
        "disconnect_at_s": disconnect_at_s, "slow_tools_ms": slow_tools_ms, "late_marks_ms": late_marks_ms,
        "doubled_marks": doubled_marks, "late_clears_ms": late_clears_ms, "clear_races": clear_races,
        "configure": configure,
    }  # fmt: skip
    with reporting(verbose=verbose):
        run_replay(paths, mode=mode, agent=agent, repeat=repeat, json=json, junit=junit, html=html, options=options)


app.command("eval")(eval_command.evaluate)
app.add_typer(number_app.app, name="number")
app.add_typer(numbers.app, name="numbers")
app.add_typer(versions.app, name="versions")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(tokens.app, name="tokens")
app.command()(probing.probe)
app.command()(certifying.certify)

app.add_typer(calls_app.app, name="calls")
app.add_typer(campaign_app.app, name="campaign")


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="The number to call, like +14155550123.")],
    agent: Annotated[str, typer.Option(help="Import string of the agent: module:attribute.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Data for the agent: name=Ada. Can be repeated.", show_default=False)
    ] = None,
    result: Annotated[
        str | None, typer.Option(help="The type of the result: module:Model, a pydantic model.", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option(help="The message for a voicemail. Default: hang up.", show_default=False)
    ] = None,
    max_s: Annotated[float, typer.Option(help="The maximum duration of the call.")] = 600.0,
    timezone: Annotated[
        str | None,
        typer.Option(help="The time zone of the callee, like Europe/Berlin. [by the number]", show_default=False),
    ] = None,
    any_hour: Annotated[bool, typer.Option("--any-hour", help="Ignore TELEPHONY_QUIET_HOURS.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Use a simulated Twilio. No real call is made.")] = False,
    callee: Annotated[
        str,
        typer.Option(help="With --simulate: person, voicemail, screening, fax, busy, no-answer, failed, FILE.toml."),
    ] = "person",
    json: Annotated[bool, typer.Option("--json", help="Print only the result, as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Call a number. With TELEPHONY_SERVER a running server places the call with one of its agents."""
    from .call import run_call

    with reporting(verbose=verbose):
        completed = run_call(
            to, agent=agent, data=data or [], result=result, message=message, max_s=max_s,
            timezone=timezone, any_hour=any_hour, simulate=callee if simulate else None, json=json,
        )  # fmt: skip
        raise typer.Exit(0 if completed else FAILED)


@app.command()
def bench(
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 25,
    seconds: Annotated[float, typer.Option(min=2, help="Length of each run.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each system, in turns.")] = 3,
    sweep: Annotated[
        str | None, typer.Option(help="Also measure these numbers of calls: 10,25,50,100,200.", show_default=False)
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Also search for the most calls on one core.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="First check that the load generator can make 500 calls.")
    ] = False,
    beside: Annotated[
        Path | None,
        typer.Option(help="Also measure the version of this repository in this folder.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write load.json and load.svg into this folder.", show_default=False)
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(help="Fail if the CPU ratio to the bare bridge is greater than this.", show_default=False),
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="5 calls for 4 s, once.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure the server under load. In the same run, also measure minimal programs without the functions of the server
    (a bare bridge and a bare pass-through), for comparison. Linux only.
    """
    from .bench import run_bench

    with reporting(verbose=False):
        run_bench(
            calls=calls, seconds=seconds, rounds=rounds, sweep=sweep, search=search, prove=prove, beside=beside,
            out=out, limit=limit, short=short, json=json,
        )  # fmt: skip
