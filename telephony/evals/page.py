"""The result of an eval as one HTML page: the verdicts, and the worst calls with audio and timeline.

The audio and the timelines come from the journals of the calls, if the run contains the journals.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
import soundfile

from realtime_core.audio import g711

from ..errors import JournalError
from ..journal.reader import read_journal
from ..journal.timeline import LEFT, RIGHT, WIDTH, timeline_svg
from ..replay.call import HeardCall
from .comparison import CallResult, EvalResult
from .criteria import Family
from .report import TITLES, rows_of

__all__ = ["page_of"]

_WORST = 8
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --line: #d5dce3; --soft: #f4f6f8; --good: #1a7f4b;
  --bad: #b3261e; --unsure: #7a5c00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --paper: #14191f; --line: #3a444f; --soft: #1e252d;
  --good: #5fd39a; --bad: #ff8a80; --unsure: #e5c35a } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem auto;
  max-width: 1100px; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem } h3 { font-size: 1rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid var(--line) }
th small { font-weight: 400; opacity: .8; display: block } td { overflow-wrap: normal }
@media (min-width: 701px) { td:not([data-of="Verdict"]) { white-space: nowrap } }
.better, .passed { color: var(--good) } .worse, .failed { color: var(--bad) } .undecided { color: var(--unsure) }
details { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem; margin: .8rem 0 }
summary { cursor: pointer; font-weight: 600 } audio { width: 100% }
.timeline { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0 }
.timeline svg { display: block; width: 100%; min-width: 900px; height: auto; cursor: pointer }
@media (prefers-color-scheme: dark) { .timeline svg { filter: invert(.92) hue-rotate(180deg) } }
ol { list-style: none; padding: 0 } li { padding: .1rem 0 }
button { font: inherit; color: inherit; background: var(--soft); border: 1px solid var(--line); border-radius: 4px;
  min-width: 4.5rem; margin-right: .5rem }
li.now { background: var(--soft) } .unheard { opacity: .65; text-decoration: line-through }
@media (max-width: 700px) { thead { display: none } table, tbody, tr, td, th { display: block }
  td, th { padding: .1rem .4rem; border: 0 } tr { padding: .4rem 0; border-top: 1px solid var(--line) }
  td[data-of]::before { content: attr(data-of) ": "; opacity: .8 } }
""".strip()
_SCRIPT = (
    """
for (const call of document.querySelectorAll("details")) {
  const audio = call.querySelector("audio"), lines = [...call.querySelectorAll("li[data-at]")];
  if (!audio) continue;
  const svg = call.querySelector(".timeline svg"), box = svg.parentElement, seconds = +audio.dataset.seconds;
  const head = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of [["y1", 60], ["y2", 486], ["stroke", "#d64545"], ["stroke-width", 2], ["class", "head"]])
    head.setAttribute(name, value);
  svg.append(head);
  const draw = () => {
    const x = LEFT + (RIGHT - LEFT) * Math.min(1, audio.currentTime / seconds), at = x / WIDTH * box.scrollWidth;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    if (!audio.paused && (at < box.scrollLeft || at > box.scrollLeft + box.clientWidth * 0.9))
      box.scrollLeft = at - box.clientWidth * 0.1;
    let now = null;
    for (const line of lines) if (+line.dataset.at <= audio.currentTime + 0.05) now = line;
    for (const line of lines) line.classList.toggle("now", line === now);
    if (!audio.paused) requestAnimationFrame(draw);
  };
  for (const event of ["play", "seeked", "timeupdate", "pause"]) audio.addEventListener(event, draw);
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
  });
  const go = (at) => {
    audio.currentTime = at;
    audio.play();
  };
  for (const line of lines) line.querySelector("button").addEventListener("click", () => go(+line.dataset.at));
  svg.addEventListener("click", (event) => {
    const frame = svg.getBoundingClientRect(), x = (event.clientX - frame.left) / frame.width * WIDTH;
    go(Math.max(0, (x - LEFT) / (RIGHT - LEFT)) * seconds);
  });
  draw();
}
""".strip()
    .replace("LEFT", str(LEFT))
    .replace("RIGHT", str(RIGHT))
    .replace("WIDTH", str(WIDTH))
)


def page_of(result: EvalResult) -> str:
    """Returns the HTML page of an eval. The worst calls come first, and the details of the first call are visible."""
    title = f"Eval of {result.about.get('agent', 'an agent')}"
    if result.about.get("baseline"):
        title += f" against {result.about['baseline']}"
    parts = [f"<h1>{escape(title)}</h1>", _summary(result)]
    parts += [_table(result, family) for family in Family if any(True for _ in rows_of(result, family))]
    worst = result.worst(_WORST)
    parts.append(f"<h2>{'Worst calls' if worst else 'No call failed a criterion'}</h2>")
    parts += [_call(call, is_open=n == 0) for n, call in enumerate(worst)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + f"\n</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _summary(result: EvalResult) -> str:
    missed = result.missed
    words = (
        f"Failed: {', '.join(each.criterion.name for each in missed)}." if missed else "Passed: no threshold is missed."
    )
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in result.about.get("notes", ()))
    return f'<p class="{"failed" if missed else "passed"}"><strong>{escape(words)}</strong></p><ul>{notes}</ul>'


def _table(result: EvalResult, family: Family) -> str:
    judge = result.about.get("judge") if family is Family.JUDGED else None
    heads = ["Criterion", "New", *(["Baseline", "Verdict"] if result.has_baseline else [])]
    rows = []
    verdicts = {each.criterion.name: each.comparison.verdict for each in result.results if each.comparison is not None}
    for name, new, baseline, verdict, note in rows_of(result, family):
        cells = [f"{escape(name)}<small>{escape(note)}</small>", escape(new)]
        if result.has_baseline:
            cells += [escape(baseline), f'<span class="{verdicts[name]}">{escape(verdict)}</span>']
        first, *others = cells
        named = "".join(f'<td data-of="{head}">{cell}</td>' for head, cell in zip(heads[1:], others, strict=True))
        rows.append(f'<tr><th scope="row">{first}</th>{named}</tr>')
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    title = f"{TITLES[family]}{f' ({judge})' if judge else ''}"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>{escape(title)}</h2><div class="scroll" tabindex="0">{table}</div>'


def _call(call: CallResult, *, is_open: bool) -> str:
    reasons = "".join(
        f'<li class="failed">{escape(name)}: {escape(call.decisions[name].why)}</li>' for name in call.failed
    )
    heard = _heard(call)
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(call.name)}: "
        f"{escape(', '.join(call.failed))}</summary><ul>{reasons}</ul>"
        f"{_audio(heard) if heard is not None else ''}<ol>{''.join(_lines(call))}</ol>"
        f"{_timeline(heard) if heard is not None else ''}</details>"
    )


def _heard(call: CallResult) -> HeardCall | None:
    path = Path(call.journal)
    if not call.journal or not path.is_file():
        return None
    heard = HeardCall(lambda: read_journal(path), call.name)
    try:
        return heard if heard.duration_ms > 0 else None
    except JournalError:
        return None


def _audio(call: HeardCall) -> str:
    """Returns the audio of both sides as MP3. The left channel has the caller. The right channel has the agent as the
    caller heard the agent.
    """
    sides = [np.frombuffer(g711.decode(bytes(side)), "<i2") for side in (call.audio.caller, call.audio.agent)]
    file = io.BytesIO()
    soundfile.write(file, np.stack([side[: min(map(len, sides))] for side in sides], axis=1), 8000, format="MP3")
    source = base64.b64encode(file.getvalue()).decode()
    return (
        f'<audio controls preload="metadata" data-seconds="{len(call.audio.caller) / 8000:.3f}" '
        f'src="data:audio/mpeg;base64,{source}"></audio>'
    )


def _timeline(call: HeardCall) -> str:
    drawn = timeline_svg(call.recorded, call.audio, call.events, call.figures)
    return f'<div class="timeline scroll" tabindex="0">{drawn}</div>'


def _lines(call: CallResult) -> Iterator[str]:
    evidence = call.evidence
    entries = [(line.start_ms, f"{line.speaker}: ", line.heard, line.said) for line in evidence.lines]
    entries += [
        (
            tool.at_ms,
            "tool: ",
            f"{tool.name}({json.dumps(tool.arguments, ensure_ascii=False)}) returned {tool.output}",
            "",
        )
        for tool in evidence.tools
    ]
    for at_ms, who, heard, said in sorted(entries, key=lambda entry: entry[0]):
        rest = said[len(heard) :].strip() if said.startswith(heard) else ""
        unheard = f' <span class="unheard" title="not heard">{escape(rest)}</span>' if rest else ""
        at = f"{at_ms / 1000:.1f}"
        yield (
            f'<li data-at="{at}"><button type="button" aria-label="play from {at} seconds">{at} s</button>'
            f"{escape(who)}{escape(heard)}{unheard}</li>"
        )
