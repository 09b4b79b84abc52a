"""Shows the demo call while it runs: a live view on a terminal, plain lines otherwise."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .live_call import Line, LiveCall

__all__ = ["LiveView", "NoView", "PlainView", "View"]

_BAR = " ▏▎▍▌▋▊▉█"
_NAMES = {"caller": "Caller", "agent": "Agent", "tool": "tool", "key": "Caller", "interruption": "", "handoff": ""}
_STYLES = {
    "caller": "blue",
    "agent": "green",
    "tool": "magenta",
    "key": "yellow",
    "interruption": "red",
    "handoff": "cyan",
}
_SETTLED_MS = 3000.0
"""The maximum time in milliseconds after the end of a line at which the line is printed, even if its transcript is
incomplete.
"""
_MARGIN = 14
"""The number of columns before the text of a line."""
_LATER_MS = 1e12
"""A time in milliseconds that is later than every event."""


class View(Protocol):
    """Shows a call while it runs. `show` is called repeatedly. `ms` is the current time, in milliseconds since the
    start of the call.
    """

    def show(self, call: LiveCall, ms: float) -> None: ...
    def close(self) -> None: ...


class NoView:
    """A view of the demo call that shows nothing."""

    def show(self, call: LiveCall, ms: float) -> None:
        pass

    def close(self) -> None:
        pass


class PlainView:
    """A view that prints each line of the conversation when it is complete."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = 0
        self._call = LiveCall()

    def show(self, call: LiveCall, ms: float) -> None:
        self._call = call
        while self._printed < len(call.lines) and _settled(call.lines[self._printed], ms):
            self._print(call.lines[self._printed], ms)

    def close(self) -> None:
        for line in self._call.lines[self._printed :]:
            self._print(line, _LATER_MS)

    def _print(self, line: Line, ms: float) -> None:
        self._printed += 1
        self._console.print(
            Text.assemble(f"{_clock(line.start_ms)}  {_NAMES[line.kind]:<7} ", _text(line, ms)), soft_wrap=True
        )


class LiveView:
    """A view for a terminal: a bar with the loudness of each side, the numbers of sent and returned marks (a mark
    returns when the audio before the mark has been played), and the last lines of the conversation.
    """

    def __init__(self, console: Console) -> None:
        self._frame = _Frame(LiveCall(), 0.0)
        self._live = Live(self._frame, console=console, refresh_per_second=12, vertical_overflow="crop")
        self._live.start()

    def show(self, call: LiveCall, ms: float) -> None:
        self._frame.call, self._frame.ms = call, ms

    def close(self) -> None:
        self._frame.ms, self._frame.whole = _LATER_MS, True
        self._live.vertical_overflow = "visible"
        self._live.stop()


class _Frame:
    """The picture of the call at one time."""

    def __init__(self, call: LiveCall, ms: float) -> None:
        self.call, self.ms, self.whole = call, ms, False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.whole:
            yield from self._meters(options.max_width)
        lines = [
            line for line in self.call.lines if line.start_ms <= self.ms and (line.kind != "agent" or line.done_ms)
        ]
        lines.sort(key=lambda line: line.start_ms)
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column()
        for line in lines if self.whole else self._last(lines, console.height - 4, options.max_width - _MARGIN):
            name = Text(_NAMES[line.kind], style=f"bold {_STYLES[line.kind]}")
            table.add_row(_clock(line.start_ms), name, _text(line, self.ms))
        yield table

    def _last(self, lines: list[Line], rows: int, width: int) -> list[Line]:
        """Returns the last lines that fit into `rows`."""
        for n in range(len(lines) - 1, -1, -1):
            rows -= -(-_text(lines[n], self.ms).cell_len // max(1, width - 8)) or 1
            if rows < 0:
                return lines[n + 1 :] or lines[n:]
        return lines

    def _meters(self, width: int) -> RenderResult:
        caller, agent = self.call.levels(self.ms)
        size = max(8, min(40, width - 30))
        marks = f"marks {self.call.marks_back}/{self.call.marks_sent}"
        for name, level, style, note in (
            ("Caller", caller, "blue", _clock(self.ms)),
            ("Agent ", agent, "green", marks),
        ):
            yield Text.assemble((f" {name} ", f"bold {style}"), (_bar(level, size), style), (f"  {note}", "dim"))
        yield Text()


def _text(line: Line, ms: float) -> Text:
    style = _STYLES[line.kind]
    if line.kind in ("tool", "key", "interruption", "handoff"):
        return Text(line.text, style=style)
    heard = line.heard(ms)
    text = Text(heard.rstrip())
    if line.cut and line.done_ms is not None and line.done_ms <= ms:
        text.append(" [not heard: " if heard else "[not heard: ", style="dim")
        text.append(line.text[len(heard) :].strip(), style="dim strike")
        text.append("]", style="dim")
    return text


def _settled(line: Line, ms: float) -> bool:
    if line.done_ms is None:
        return line.kind in ("key", "interruption", "handoff") or (
            line.kind == "tool" and ms > line.start_ms + _SETTLED_MS
        )
    return line.done_ms <= ms and (line.complete or line.cut or ms > line.done_ms + _SETTLED_MS)


def _bar(level: float, size: int) -> str:
    eighths = round(level * size * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BAR[rest] if rest else "")).ljust(size)


def _clock(ms: float) -> str:
    tenths = int(max(0.0, ms) // 100)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
