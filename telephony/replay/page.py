"""A replayed call as an HTML page with its audio, and an index of several pages. Pure.

A page is one HTML file with two audio files next to it (mu-law, stereo). The left channel has the caller. The right
channel has the agent as the caller heard the agent. The audio and the timeline have the same clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np

from ..audio.files import ULAW, wav_header
from ..journal.audio import CallAudio
from ..journal.timeline import LEFT, RIGHT, WIDTH, timeline_svg
from .call import HeardCall, ReplayedCall
from .report import PROVES, rows_of

__all__ = ["Page", "index_of", "page_of"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --faint: #5c6b7a; --paper: #fff; --panel: #f4f6f8; --rule: #e0e5ea;
  --good: #1a7f4b; --bad: #b3261e; --caller: #f0f6ff; --other: #fff1ed; --now: #fff7d6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ed; --faint: #9aa7b4; --paper: #14181d; --panel: #1d232a;
  --rule: #323b45; --good: #5fd39a; --bad: #ff8a80; --caller: #17222f; --other: #33201c; --now: #3a3413 }
  .timeline svg { filter: invert(.92) hue-rotate(180deg) } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 1200px; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.35rem; line-height: 1.3 } h2 { font-size: 1.1rem; margin-top: 2rem } a { color: inherit }
pre { background: var(--panel); padding: 1rem; white-space: pre-wrap; border-radius: 6px; font-size: 13px }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .25rem .6rem }
tr { border-top: 1px solid var(--rule) } .same { color: var(--good) } .diverged { color: var(--bad) }
.caller { background: var(--caller) } .other { background: var(--other) } .now { background: var(--now) }
.faint { color: var(--faint) } figure { margin: 1rem 0 } audio { width: 100%; max-width: 40rem; display: block }
.timeline { overflow-x: auto; border: 1px solid var(--rule); border-radius: 6px; margin-top: .5rem }
.timeline svg { display: block; width: 100%; min-width: 900px; height: auto; cursor: pointer }
.rows tr[data-s] { cursor: pointer } .rows td:first-child { white-space: nowrap }
@media (max-width: 700px) { body { margin-top: 1rem } thead { display: none }
  table, tbody, tr, td, th { display: block } td, th { padding: .1rem .4rem } tr { padding: .3rem 0 }
  td[data-of]::before { content: attr(data-of) ": "; color: var(--faint) } }
""".strip()

_SCRIPT = (
    """
const figures = [...document.querySelectorAll("figure")].map((figure) => {
  const audio = figure.querySelector("audio"), svg = figure.querySelector("svg")
  const seconds = Number(figure.dataset.seconds) || 1, box = svg.parentElement
  const head = document.createElementNS("http://www.w3.org/2000/svg", "line")
  for (const [name, value] of [["y1", 60], ["y2", 486], ["stroke", "#d64545"], ["stroke-width", 2], ["class", "head"]])
    head.setAttribute(name, value)
  svg.append(head)
  const draw = () => {
    const x = LEFT + (RIGHT - LEFT) * Math.min(1, audio.currentTime / seconds)
    head.setAttribute("x1", x), head.setAttribute("x2", x)
    const at = x / WIDTH * box.scrollWidth
    if (!audio.paused && (at < box.scrollLeft || at > box.scrollLeft + box.clientWidth * .9))
      box.scrollLeft = at - box.clientWidth * .1
    mark(audio.currentTime)
    if (!audio.paused) requestAnimationFrame(draw)
  }
  for (const event of ["play", "seeked", "timeupdate", "pause"]) audio.addEventListener(event, draw)
  audio.addEventListener("play", () => figures.forEach((other) => other.audio !== audio && other.audio.pause()))
  svg.addEventListener("click", (event) => {
    const frame = svg.getBoundingClientRect(), x = (event.clientX - frame.left) / frame.width * WIDTH
    seek(audio, Math.max(0, (x - LEFT) / (RIGHT - LEFT)) * seconds)
  })
  draw()
  return { audio }
})
function seek(audio, at) {
  const go = () => { audio.currentTime = at }
  if (audio.readyState) go()
  else audio.addEventListener("loadedmetadata", go, { once: true }), audio.load()
}
function mark(at) {
  let current
  for (const row of document.querySelectorAll("tr[data-s]")) {
    row.classList.remove("now")
    if (Number(row.dataset.s) <= at + .05) current = row
  }
  if (at > 0) current?.classList.add("now")
}
for (const row of document.querySelectorAll("tr[data-s]"))
  row.addEventListener("click", () => figures.forEach(({ audio }) => seek(audio, Number(row.dataset.s))))
""".strip()
    .replace("LEFT", str(LEFT))
    .replace("RIGHT", str(RIGHT))
    .replace("WIDTH", str(WIDTH))
)


@dataclass(frozen=True, slots=True)
class Page:
    """The HTML page about a replay, and its audio files by name."""

    html: str
    audio: Mapping[str, bytes]


def page_of(call: ReplayedCall, name: str, folder: str = "") -> Page:
    """Returns the HTML page about a replay. The names of its audio files begin with `name`. `folder` is the folder of
    the audio files, relative to the page.
    """
    sounds = {f"{name}.recorded.wav": _wav(call.original.audio), f"{name}.now.wav": _wav(call.audio)}
    places = [f"{folder}/{each}" if folder else each for each in sounds]
    divergence = call.divergence
    status = f'<span class="{"same" if divergence is None else "diverged"}">{_status(divergence is not None)}</span>'
    parts = [f"<h1>{escape(call.name)} ({escape(call.mode)}): {status}</h1>"]
    if divergence is not None:
        parts.append(f"<p><strong>{escape(divergence.sentence)}</strong></p>")
    if proves := PROVES.get(call.mode):
        parts.append(f'<p class="faint">{escape(proves)}</p>')
    if call.changes:
        parts.append("<h2>Changed since the recording</h2>" + _list(map(str, call.changes)))
    if call.violations:
        parts.append("<h2>Twilio would have refused</h2>" + _list(call.violations))
    parts += [
        _player("Recorded", call.original, places[0]), _player("Now", call, places[1]),
        "<h2>What was said and done</h2>", _transcripts(rows_of(call.original, call)),
        "<h2>Figures</h2>", _figures(call),
    ]  # fmt: skip
    if divergence is not None:
        parts.append(
            "<h2>The first difference in detail</h2>\n<pre>" + escape("\n".join(divergence.details)) + "</pre>"
        )
    body = "\n".join(parts)
    return Page(
        _document(f"{call.name}: {_status(divergence is not None)}", f"{body}\n<script>{_SCRIPT}</script>"), sounds
    )


def index_of(results: Sequence[Mapping[str, Any]], summary: str) -> str:
    """Returns an HTML page with a list of replayed calls. `results` are the results of `batch.run`, one for each call.
    Calls whose replay failed, or differed from the recording, come first. The heading counts the
    calls. The lines of `summary` are shown below it, without the first line, which only counts the calls, too.
    """
    rows = []
    for result in sorted(results, key=lambda each: not (each.get("error") or each.get("diverged"))):
        wrong = result.get("error") or (result["divergence"]["sentence"] if result.get("diverged") else "")
        title = escape(result["title"])
        if result.get("page"):
            title = f'<a href="{escape(quote(result["page"]))}">{title}</a>'
        latencies = result.get("response_latencies_ms") or ()
        tools = ", ".join(dict.fromkeys(tool["name"] for tool in result.get("tools", ())))
        cells = [
            ("", title),
            ("", f'<span class="{"diverged" if wrong else "same"}">{escape(wrong or _status(False))}</span>'),
            ("length", f"{result['duration_ms'] / 1000:.0f} s" if "duration_ms" in result else ""),
            ("slowest answer", f"{max(latencies):.0f} ms" if latencies else ""),
            ("tools", escape(tools)),
        ]
        rows.append("<tr>" + "".join(f"<td{_of(label)}>{cell}</td>" for label, cell in cells) + "</tr>")
    failed_count = sum(bool(each.get("error") or each.get("diverged")) for each in results)
    title = f"{len(results)} {'call' if len(results) == 1 else 'calls'} replayed, {failed_count} with a difference"
    head = "<tr><th>call</th><th>result</th><th>length</th><th>slowest answer</th><th>tools</th></tr>"
    lines = "".join(f"<p>{escape(line)}</p>" for line in summary.splitlines()[1:])
    return _document(
        title, f"<h1>{title}</h1>\n{lines}\n<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _status(diverged: bool) -> str:
    return "diverged" if diverged else "no divergence"


def _list(lines: Any) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _wav(audio: CallAudio) -> bytes:
    sides = np.stack([np.frombuffer(bytes(side), np.uint8) for side in (audio.caller, audio.agent)], axis=1)
    return wav_header(ULAW, 2, 8000, 8, sides.size) + sides.tobytes()


def _player(title: str, call: HeardCall, sound: str) -> str:
    drawn = timeline_svg(call.recorded, call.audio, call.events, call.figures)
    return (
        f'<h2>{title}</h2>\n<figure data-seconds="{len(call.audio.caller) / 8000:.3f}">'
        f'<audio controls preload="none" src="{escape(quote(sound))}"></audio>'
        f'<div class="timeline">{drawn}</div></figure>'
    )


def _figures(call: ReplayedCall) -> str:
    def row(name: str, then: object, now: object) -> str:
        mark = "" if str(then) == str(now) else ' class="other"'
        cells = f"<td{_of('recorded')}>{escape(str(then))}</td><td{_of('now')}>{escape(str(now))}</td>"
        return f"<tr{mark}><th>{name}</th>{cells}</tr>"

    rows = [
        row(name, figure(call.original), figure(call))
        for name, figure in (
            ("Response latencies (ms)", lambda c: ", ".join(f"{ms:.0f}" for ms in c.response_latencies_ms)),
            (
                "Silence after interruptions (ms)",
                lambda c: ", ".join(f"{i.silence_after_ms:.0f}" for i in c.interruptions),
            ),
            (
                "Heard until interrupted",
                lambda c: "; ".join(f"{i.heard_ms:.0f} ms: {i.heard_text or 'nothing'}" for i in c.interruptions),
            ),
            ("Longest silence (ms)", lambda c: f"{c.longest_silence_ms:.0f}"),
            ("Both at the same time (ms)", lambda c: f"{c.talk_over_ms:.0f}"),
            ("Underruns", lambda c: c.underruns),
            ("Silence prompts", lambda c: c.silence_prompts),
            ("Tools", lambda c: ", ".join(tool.name for tool in c.tools)),
            ("Goodbye heard", lambda c: "yes" if c.goodbye_heard else "no"),
            ("Ended", lambda c: c.ended),
        )
    ]
    head = "<thead><tr><th></th><th>recorded</th><th>now</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _transcripts(rows: Sequence[tuple[float, str, str]]) -> str:
    """Returns both calls side by side. A row that is equal in both calls spans both columns."""
    lines = []
    for at_s, then, now in rows:
        kind = "caller" if (then or now).startswith("Caller") else ""
        if then == now:
            cells = f'<td colspan="2">{escape(now)}</td>'
        else:
            cells = f"<td{_of('recorded')}>{escape(then)}</td><td{_of('now')}>{escape(now)}</td>"
            kind = "other"
        lines.append(f'<tr class="{kind}" data-s="{at_s:.2f}"><td>{at_s:.1f} s</td>{cells}</tr>')
    head = "<thead><tr><th></th><th>recorded</th><th>now</th></tr></thead>"
    return f'<table class="rows">{head}<tbody>{"".join(lines)}</tbody></table>'


def _of(label: str) -> str:
    """Returns the name of a column for a narrow page, on which the rows are below each other."""
    return f' data-of="{label}"' if label else ""
