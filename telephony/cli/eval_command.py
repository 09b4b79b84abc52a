"""The options of `telephony eval`, the command that compares two agents in the same recorded and simulated calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import USAGE, CliError, reporting

__all__ = ["evaluate"]


def evaluate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Journals, personas, scripted callers, or folders of them.", show_default=False),
    ] = None,
    agent: Annotated[str | None, typer.Option(help="The new agent, module:attribute.", show_default=False)] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The agent to compare with, or the folder of a saved run.", show_default=False),
    ] = None,
    criteria: Annotated[Path, typer.Option(help="The criteria, as a TOML file.")] = Path("criteria.toml"),
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Calls of each case.")] = 5,
    model: Annotated[
        str, typer.Option(help="embedded (a stand-in, no AI), live (costs money), or a script as a TOML file.")
    ] = "embedded",
    configure: Annotated[
        str | None,
        typer.Option(help="A function that changes the options of the new agent's calls.", show_default=False),
    ] = None,
    baseline_configure: Annotated[
        str | None,
        typer.Option(help="A function that changes the options of the baseline's calls.", show_default=False),
    ] = None,
    baseline_folder: Annotated[
        Path | None,
        typer.Option(help="The folder with the baseline's modules, such as a work tree of git.", show_default=False),
    ] = None,
    result: Annotated[
        str | None, typer.Option(help="The type of the result object, module:Model.", show_default=False)
    ] = None,
    run_tools: Annotated[
        bool, typer.Option("--run-tools", help="Run the agents' own tools, with their side effects.")
    ] = False,
    voice: Annotated[str, typer.Option(help="The voice of personas: auto, stored, espeak-ng, flite or http.")] = "auto",
    voice_url: Annotated[
        str | None, typer.Option(help="With http: the address that ends in /v1.", show_default=False)
    ] = None,
    voice_model: Annotated[str, typer.Option(help="With http: the name of the speech model.")] = "gpt-4o-mini-tts",
    voice_name: Annotated[str, typer.Option(help="With http: the name of the voice.")] = "alloy",
    seed: Annotated[int, typer.Option(help="The seed of callers, lines and the embedded model.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Calls at the same time. [one for each core; live: 4]", show_default=False)
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the results in this folder.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before calls that cost money.")] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only compare the judge with 40 labelled transcripts.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, and show tracebacks.")] = False,
) -> None:
    """Call a new agent and a baseline with the same callers, and say where the new one is better or worse."""
    from ..evals.run import VoiceSettings
    from ..settings import load_settings
    from .eval import EvalOptions, run_calibration, run_eval

    with reporting(verbose=verbose):
        if calibrate:
            run_calibration(json=json)
            return
        if agent is None or not paths:
            raise CliError(
                "telephony eval needs callers and --agent.", "telephony eval calls/ --agent desk:agent", code=USAGE
            )
        key = load_settings().telephony_voice_key
        secret = None if key is None else key.get_secret_value()
        voices = VoiceSettings(voice, voice_url, voice_model, voice_name, secret)
        options = EvalOptions(
            agent=agent, baseline=baseline, criteria=criteria, repeat=repeat, model=model, configure=configure,
            baseline_configure=baseline_configure, baseline_folder=baseline_folder, result=result, run_tools=run_tools,
            voice=voices, seed=seed, workers=workers, save=save, json=json, junit=junit, html=html, yes=yes,
        )  # fmt: skip
        run_eval(paths, options)
