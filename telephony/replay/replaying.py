"""Replays recorded calls from their journals, with the function `replay_call`. The command `telephony replay` and the
pytest fixture `replay` use this function.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from ..call.options import AgentSource, CallOptions
from ..errors import ReplayError
from ..journal.reader import raw_lines, read_journal
from ..simulator import Caller, Line
from ..simulator import callers as scripted
from .argument_check import argument_mismatches
from .behaviour import behaviour_of
from .call import HeardCall, ReplayedCall
from .callers import retimed, turns_of, verbatim
from .changes import Change, changes_between, changes_of_settings
from .compare import Tolerances, compare
from .effects import ReplayRequest, check_effects
from .perturbation import Perturbation, Perturbations, perturbation_of
from .recorded_run import ReplayRun, run_recorded
from .recording import Recording, load
from .report import explained, text_of
from .simulated_run import RECORDED, run_simulated, stalls
from .triggers import AUDIO

__all__ = ["read", "replay_call"]

log = logging.getLogger(__name__)

SIMULATED = "simulated"


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Pauses the cyclic garbage collector during this block. A replay keeps many objects and creates few cycles, so the
    pause saves a tenth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read(path: Path) -> Recording:
    """Returns the recording in a journal. Raises `JournalError` if the journal cannot be read."""
    name = path.parent.name if path.stem.startswith("journal") else path.name.split(".")[0]
    with _gc_paused():
        recording = load(raw_lines(path), name)
    if recording.malformed:
        log.warning("%s: %d journal records are malformed and are ignored.", path, recording.malformed)
    return recording


@_gc_paused()
def replay_call(
    path: Path,
    agent: AgentSource | None = None,
    *,
    caller: str | Caller = RECORDED,
    model: str = RECORDED,
    turns: str = "verbatim",
    strict: bool = False,
    tolerances: Tolerances | None = None,
    round_trip_ms: float = 0.0,
    jitter_ms: float = 0.0,
    stall_ms: float = 0.0,
    line: Line | None = None,
    perturbation: Perturbation | None = None,
    run_tools: bool = False,
    configure: Callable[[CallOptions], None] | None = None,
    seed: int = 0,
    model_settings: Mapping[str, Any] | None = None,
    **perturbations: Unpack[Perturbations],
) -> ReplayedCall:
    """Runs a recorded call again, and compares the call with the recording.

    Args:
        path: The path of a journal.
        agent: The current agent. With None, the agent of the recorded session configuration is used.
        caller: `recorded`; `simulated`: the recorded audio on a simulated phone, over a line with `round_trip_ms` and
            `jitter_ms` (or any `line`); or a caller of `telephony.simulator.callers` (a name, FILE.toml,
            `module:function`, or a function).
        model: `recorded`; `embedded`, a local model that is not an AI; a script for the embedded model; or `live`, the
            real model, which costs money.
        turns: When the recorded caller speaks on a simulated phone: `verbatim` (at the recorded times) or `retimed`
            (each turn waits for the agent as in the recording).
        strict: Whether everything is compared, to the sample and to about a millisecond.
        jitter_ms: The maximum random delay in milliseconds that is added to each message: in both directions on a
            simulated phone, otherwise only to the phone's messages.
        stall_ms: The time in milliseconds for which the event loop is blocked, about once in ten seconds.
        perturbation: All faults as one object.
        perturbations: The faults as arguments (see `Perturbations`). Cannot be combined with `perturbation`.
        run_tools: Whether the agent's own tools run, with their effects. By default tools answer from the recording.
        configure: A function that changes the options of the call before the call starts.
        seed: The seed of all random numbers.
        model_settings: The current settings of the model (`Settings.model_settings`). The report shows where they
            differ from the recorded settings. The replay does not use these settings.

    Raises `JournalError` for an invalid journal, `ReplayError` for arguments that exclude each other or have no effect,
    and all exceptions of a scripted caller.
    """
    recording = read(path)
    if model == RECORDED and "imported" in recording.header:
        raise ReplayError(
            "This call was imported, so it has no recorded model. Use `telephony eval`, which calls an agent with its "
            "caller; or replay it with another model: --mode embedded, or --mode live (in Python: "
            'model="embedded").'
        )
    original = HeardCall(lambda: read_journal(path), recording.name)
    if perturbation is None:
        perturbation = perturbation_of(seed, perturbations)
    elif perturbations:
        raise ReplayError(f"Give perturbation=, or {', '.join(perturbations)}, not both.")
    if min(round_trip_ms, jitter_ms, stall_ms) < 0:
        raise ReplayError("round_trip_ms, jitter_ms and stall_ms must not be negative.")
    check_effects(
        ReplayRequest(
            recorded_caller=caller == RECORDED,
            simulated_caller=caller == SIMULATED,
            recorded_model=model == RECORDED,
            has_agent=agent is not None,
            listens=isinstance(recording.config.get("placed"), dict),
            duration_s=recording.duration_s,
            noise=perturbation.noise_dbfs is not None,
            other_line=bool(round_trip_ms or line),
            disconnect_at_s=perturbation.disconnect_at_s,
            retimed=turns == "retimed",
            strict=strict,
            run_tools=run_tools,
        )
    )
    if stall_ms:
        perturbation.stalls = stalls(stall_ms / 1000, recording.duration_s, seed)
    run: ReplayRun
    if caller == RECORDED and model == RECORDED:
        perturbation.jitter_s = perturbation.jitter_s or jitter_ms / 1000
        run = run_recorded(
            recording, agent, perturbation=perturbation, run_tools=run_tools, configure=configure, seed=seed
        )
        samples, voice = not recording.masks_audio, not perturbation.touches_voice
        wanted = tolerances or (Tolerances.strict() if strict else Tolerances(samples=samples, voice=voice))
        heard, violations = None, None
    else:
        if len(recording.streams) > 1 and model == RECORDED:
            why = f"This call had {len(recording.streams)} media streams, and a simulated phone has one"
            raise ReplayError(f'{why}. Replay it with the recorded caller, or with another model (model="embedded").')
        line = line or Line(round_trip_s=round_trip_ms / 1000, jitter_s=jitter_ms / 1000, seed=seed)
        simulated = run_simulated(
            recording, agent, _caller(caller, turns, original), model=model, line=line, perturbation=perturbation,
            run_tools=run_tools, configure=configure, seed=seed,
        )  # fmt: skip
        wanted = tolerances or _expected(caller, model)
        run, heard, violations = simulated, simulated.heard, simulated.violations
    compared = compare(recording.behaviour, behaviour_of(run.own_records(), recording.schema), wanted)
    if model == RECORDED:
        messages = run.journal.numbered(lambda kind: kind in ("model.out", "model.in"))
        compared.divergences[:0] = argument_mismatches(recording.commands, messages)
    replayed = ReplayedCall(
        run.journal.records, compared, original, mode=_mode(caller, model), phone_audio=heard,
        unrecorded_tools=run.unrecorded, violations=violations, report=text_of,
        changes=_changes(recording, run, model_settings or {}),
    )  # fmt: skip
    compared.divergences = explained(original, replayed, compared.divergences)
    return replayed


def _changes(recording: Recording, run: ReplayRun, model_settings: Mapping[str, Any]) -> list[Change]:
    """Returns the changes of the configuration that is sent to the model, and of the settings of the model."""
    then = [command.message for command in recording.commands]
    now = [record.message for _, record in run.own_records() if record.kind == "model.out" and record.event != AUDIO]
    return [
        *changes_of_settings(recording.header, recording.session, model_settings),
        *changes_between(then, now),
    ]


def _caller(caller: str | Caller, turns: str, original: HeardCall) -> Caller:
    if not isinstance(caller, str):
        return caller
    if caller not in (RECORDED, SIMULATED):
        return scripted.find(caller)
    if turns == "verbatim":
        return verbatim(original.recorded, hangs_up=original.ended in ("hung up", "imported", ""))
    if turns == "retimed":
        return retimed(turns_of(original.recorded, original.audio))
    raise ReplayError(f"turns={turns!r} is neither verbatim nor retimed.")


def _expected(caller: str | Caller, model: str) -> Tolerances:
    """Returns the tolerances of the comparison with the recording. With a scripted caller, nothing is compared."""
    if caller not in (RECORDED, SIMULATED):
        return Tolerances(timing=False, samples=False, lanes=())
    return Tolerances.other_line() if model == RECORDED else Tolerances.other_model()


def _mode(caller: str | Caller, model: str) -> str:
    if caller not in (RECORDED, SIMULATED):
        return "scripted"
    if model == RECORDED:
        return RECORDED if caller == RECORDED else SIMULATED
    return model
