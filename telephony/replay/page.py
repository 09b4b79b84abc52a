"""Replays as one self-contained HTML page: timelines, figures and transcripts of both calls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..journal.timeline import timeline_svg
from .call import HeardCall, ReplayedCall
from .report import rows_of

__all__ = ["body_of", "document", "page_of"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; margin: 2rem auto; max-width: 1200px; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
pre { background: #f4f6f8; padding: 1rem; overflow-x: auto; border-radius: 6px; font-size: 13px }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .25rem .6rem }
tr { border-top: 1px solid #e3e8ed } .same { color: #1a7f4b } .diverged { color: #b3261e }
.caller { background: #f0f6ff } .other { background: #fff3f0 }
svg { width: 100%; height: auto; border: 1px solid #e3e8ed; border-radius: 6px } td:first-child { white-space: nowrap }
""".strip()


def page_of(calls: Sequence[ReplayedCall]) -> str:
    """The page about these replays."""
    diverged = sum(call.divergence is not None for call in calls)
    return document(len(calls), diverged, "\n".join(_call(call) for call in calls))


def document(calls: int, diverged: int, body: str) -> str:
    """The page with this body, about `calls` replays."""
    title = f"{calls} {'call' if calls == 1 else 'calls'} replayed, {diverged} diverged"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def body_of(page: str) -> str:
    """The body of a page, without its title."""
    return page.partition("</h1>\n")[2].partition("\n</body>")[0]


def _call(call: ReplayedCall) -> str:
    status = ("diverged", "diverged") if call.divergence is not None else ("same", "no divergence")
    parts = [f'<h2>{escape(call.name)} ({escape(call.mode)}): <span class="{status[0]}">{status[1]}</span></h2>']
    if call.divergence is not None:
        parts.append(f"<pre>{escape(str(call.divergence))}</pre>")
    notes = [note.what for note in call.notes] + call.violations
    if notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    parts += [_figures(call), "<h3>Recorded</h3>", _drawn(call.original), "<h3>Now</h3>", _drawn(call)]
    parts += ["<h3>What was said and done</h3>", _transcripts(rows_of(call.original, call))]
    return "\n".join(parts)


def _drawn(call: HeardCall) -> str:
    return timeline_svg(call.recorded, call.audio, call.events, call.figures)


def _figures(call: ReplayedCall) -> str:
    def row(name: str, then: object, now: object) -> str:
        mark = "" if str(then) == str(now) else ' class="other"'
        return f"<tr{mark}><th>{name}</th><td>{escape(str(then))}</td><td>{escape(str(now))}</td></tr>"

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
    return f"<table><tr><th></th><th>recorded</th><th>now</th></tr>{''.join(rows)}</table>"


def _transcripts(rows: Sequence[tuple[float, str, str]]) -> str:
    """Both calls side by side. A row that is the same in both spans both columns."""
    lines = []
    for at_s, then, now in rows:
        kind = "caller" if (then or now).startswith("Caller") else ""
        if then == now:
            cells, kind = f'<td colspan="2">{escape(now)}</td>', kind
        else:
            cells, kind = f"<td>{escape(then)}</td><td>{escape(now)}</td>", "other"
        lines.append(f'<tr class="{kind}"><td>{at_s:.1f} s</td>{cells}</tr>')
    return f"<table><tr><th></th><th>recorded</th><th>now</th></tr>{''.join(lines)}</table>"
