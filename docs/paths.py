"""Prints the three hot paths of a call into `docs/architecture.md`: `python -m docs.paths`.

It runs a whole call in virtual time and records which functions run in the step of one message: a frame of the caller,
an audio delta of the model, and the report that the caller has begun to speak over the agent. It shows the most
frequent sequence of each kind, and of it the calls from one module to another. The journal and bookkeeping are left
out.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from telephony.demo.agent import GREETING, agent
from telephony.demo.in_memory import call_in_memory
from telephony.demo.plan import Plan

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- Written by docs/paths.py: -->"
END = "<!-- End of the written part. -->"

FROM_TWILIO = "telephony.call.line.stream.MediaStream._on_message"
FROM_MODEL = "realtime_core.openai_realtime.server_session.session.ServerSession.receive"
MEDIA = '"event":"media"'
AUDIO_DELTA = '"type":"response.output_audio.delta"'
SPEECH_STARTED = '"type":"input_audio_buffer.speech_started"'
TITLES = {
    "frame": "A frame of the caller, 50 times a second",
    "delta": "An audio delta of the model",
    "interruption": "The caller speaks over the agent",
}
OWN = ("telephony.", "realtime_core.")
OTHERS = (
    "telephony.simulator", "telephony.demo", "telephony.journal", "telephony.masking", "realtime_core.local",
    "realtime_core.testing", "realtime_core.connection.memory", "realtime_core.connection.delivery",
    "realtime_core.sources", "telephony.call.recording", "telephony.call.callbacks", "telephony.call.pacing.limits",
    "telephony.call.pacing.pending_answer", "telephony.call.pacing.silence_prompts",
    "telephony.call.pacing.stream_watchdog", "realtime_core.deadline_timer", "realtime_core.user_code",
    "realtime_core.answer_gate", "realtime_core.event_streams", "realtime_core.history_order",
    "realtime_core.history_merge", "realtime_core.openai_realtime.server_session.known_facts",
    "realtime_core.openai_realtime.encoding.EventIds", "realtime_core.done", "realtime_core.openai_realtime.listeners",
)  # fmt: skip
"""Names that are not shown: the other ends, the journal, bookkeeping, and connections in memory."""

Path_ = tuple[tuple[int, str], ...]
"""The functions of one step in the order of their calls: (depth, name)."""


class Recorder:
    """A profile function that records the functions of each step that begins at an entry."""

    def __init__(self) -> None:
        self.paths: dict[str, Counter[Path_]] = {kind: Counter() for kind in TITLES}
        self._kind = ""
        self._root: FrameType | None = None
        self._open: list[FrameType] = []
        self._calls: list[tuple[int, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            name = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
            if self._root is None:
                if (kind := _kind(name, frame)) is not None:
                    self._kind, self._root, self._open, self._calls = kind, frame, [frame], [(0, name)]
            elif name.startswith(OWN) and not name.startswith(OTHERS) and "<" not in name:
                self._calls.append((len(self._open), name))
                self._open.append(frame)
        elif event == "return" and self._root is not None:
            if self._open and frame is self._open[-1]:
                self._open.pop()
            if frame is self._root:
                self._root = None
                self.paths[self._kind][tuple(self._calls)] += 1


def _kind(name: str, frame: FrameType) -> str | None:
    """Returns the kind of the step that begins with this call, if it is one of those that are shown."""
    if name not in (FROM_TWILIO, FROM_MODEL):
        return None
    message = next((value for value in frame.f_locals.values() if isinstance(value, str | bytes)), "")
    head = (message if isinstance(message, str) else message.decode())[:200].replace(" ", "")
    if name == FROM_TWILIO:
        return "frame" if MEDIA in head else None
    if SPEECH_STARTED in head:
        return "interruption"
    return "delta" if AUDIO_DELTA in head else None


def record() -> dict[str, Path_]:
    """Runs the demo's call, and returns the most frequent path of each kind. Of interruptions, the longest one."""
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(None, None, False, False, Path(folder), False)
        sys.setprofile(recorder)
        try:
            call_in_memory(plan, agent, GREETING, seed=1)
        finally:
            sys.setprofile(None)
    paths = recorder.paths
    interruption = max(paths["interruption"], key=len)
    return {
        "frame": paths["frame"].most_common(1)[0][0],
        "delta": paths["delta"].most_common(1)[0][0],
        "interruption": interruption,
    }


def text(paths: dict[str, Path_]) -> str:
    """Returns the paths as Markdown."""
    parts = []
    for kind, title in TITLES.items():
        lines = [f"{'  ' * depth}{_short(name)}" for depth, name in _between_modules(paths[kind])]
        parts.append(f"### {title}\n\n```text\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def _between_modules(path: Path_) -> list[tuple[int, str]]:
    """Returns the calls from one module to another, each once in a row, with their depth among those that are left."""
    shown: list[tuple[int, str]] = []
    above: list[tuple[int, str, int]] = []  # depth, module, depth among those that are left
    for depth, name in path:
        while above and above[-1][0] >= depth:
            above.pop()
        module, left = _module(name), above[-1][2] + 1 if above else 0
        if above and module == above[-1][1]:
            above.append((depth, module, left - 1))
            continue
        above.append((depth, module, left))
        if (left, name) not in shown[-3:]:
            shown.append((left, name))
    return shown


def _module(name: str) -> str:
    """Returns the name without its class and function."""
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-2].lstrip("_")[:1].isupper() else parts[:-1])


def _short(name: str) -> str:
    """Returns the module without the name of the package, and the function."""
    return name.removeprefix("realtime_core.").removeprefix("telephony.")


def write() -> None:
    """Replaces the written part of the page."""
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n\n{text(record())}\n\n{END}{tail}")


if __name__ == "__main__":
    write()
