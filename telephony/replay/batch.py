"""Runs many replays in parallel processes, and summarizes their results as data, text and JUnit XML."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import TelephonyError
from ..import_strings import load_agent, load_object
from .call import ReplayedCall
from .page import page_of
from .replaying import replay_call
from .report import data_of, text_of

__all__ = ["Job", "junit_of", "run", "spread_of", "spread_text", "summary_text", "write_page"]


@dataclass(frozen=True, slots=True)
class Job:
    """One replay to run, possibly in another process. `agent` is an import string (`module:attribute`). `options` are
    the options of `replay_call`. The option `configure` is also an import string here, because a function cannot be
    sent to a process. `page` is the file of the HTML page, and `sounds` is the folder of its audio. None means no page.
    If `brief` is True, the text leaves out the changes since the recording, because a summary contains the changes.
    """

    path: Path
    agent: str | None = None
    nth: int = 1
    of: int = 1
    page: Path | None = None
    sounds: Path | None = None
    brief: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def run(jobs: Sequence[Job], *, workers: int = 1) -> Iterator[dict[str, Any]]:
    """Runs replays in `workers` processes at the same time. Each job describes one replay. Yields one result for each
    job, in the order of the jobs.

    A result is the dictionary of `report.data_of` with `title`, `path`, `text` and `cpu_s`. If a call cannot be
    replayed, its result has an `error` in place of the report. The pages are written to files.
    """
    if workers <= 1 or len(jobs) == 1:
        yield from map(_run, jobs)
    else:
        with ProcessPoolExecutor(min(workers, len(jobs))) as pool:
            yield from pool.map(_run, jobs)


def _run(job: Job) -> dict[str, Any]:
    title = f"{job.path.parent.name if job.path.stem.startswith('journal') else job.path.name.split('.')[0]}"
    title += f" #{job.nth}" if job.of > 1 else ""
    start = time.process_time()
    try:
        agent, options = None, job.options
        if job.agent is not None:
            agent = load_agent(job.agent)
        if (configure := options.get("configure")) is not None:
            options = {**options, "configure": load_object(configure, what="function")}
        call = replay_call(job.path, agent, **options)
    except TelephonyError as error:
        return {"title": title, "path": str(job.path), "mode": "", "diverged": False, "error": str(error), "cpu_s": 0.0}
    result = {"title": title, "path": str(job.path), "text": text_of(call, brief=job.brief), **data_of(call)}
    result["cpu_s"] = round(time.process_time() - start, 3)
    if job.page is not None:
        write_page(call, job.page, job.sounds or job.page.parent)
        result["page"] = str(job.page)
    return result


def write_page(call: ReplayedCall, path: Path, sounds: Path) -> None:
    """Writes the HTML page that compares a replayed call with its recording to the file `path`. Writes the audio of the
    page to the folder `sounds`, which is the folder of the page or a folder inside it. Raises `OSError` if a file
    cannot be written.
    """
    sounds.mkdir(parents=True, exist_ok=True)
    place = "" if sounds == path.parent else sounds.relative_to(path.parent).as_posix()
    page = page_of(call, path.stem, place)
    path.write_text(page.html, encoding="utf-8")
    for name, wav in page.audio.items():
        (sounds / name).write_bytes(wav)


def spread_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns a summary of many replays of one call as JSON values: how often each tool was called, and the smallest,
    the median and the largest value of each measured time.
    """
    tools: dict[str, int] = {}
    for result in results:
        for name in {tool["name"] for tool in result.get("tools", ())}:
            tools[name] = tools.get(name, 0) + 1
    figures = {
        "response_latency_ms": [ms for result in results for ms in result.get("response_latencies_ms", ())],
        "silence_after_ms": [i["silence_after_ms"] for result in results for i in result.get("interruptions", ())],
        "longest_silence_ms": [result["longest_silence_ms"] for result in results if "longest_silence_ms" in result],
    }
    return {
        "n": len(results),
        "diverged": sum(result["diverged"] for result in results),
        "goodbye_heard": sum(bool(result.get("goodbye_heard")) for result in results),
        "tools": tools,
        **{
            name: {"least": min(values), "median": statistics.median(values), "greatest": max(values)}
            for name, values in figures.items()
            if values
        },
    }


def spread_text(spread: dict[str, Any]) -> str:
    """Returns the summary of many replays of one call (the result of `spread_of`) as lines of text for the command
    line.
    """
    tools = ", ".join(f"{name} in {count}" for name, count in spread["tools"].items()) or "none"
    lines = [
        f"{spread['n']} times: {spread['diverged']} diverged, goodbye heard in {spread['goodbye_heard']}, tools: "
        + tools
    ]
    for name, title in (("response_latency_ms", "response latency"), ("silence_after_ms", "silence after a barge-in"),
                       ("longest_silence_ms", "longest silence")):  # fmt: skip
        if figures := spread.get(name):
            values = " / ".join(f"{figures[each]:.0f}" for each in ("least", "median", "greatest"))
            lines.append(f"  {title}: {values} ms (least / median / greatest)")
    return "\n".join(lines)


def summary_text(results: Sequence[dict[str, Any]]) -> str:
    """Returns the last lines of the output about several replays: the number of replays that differ, the changes since
    the recordings, and a sentence about what such a replay proves.
    """
    diverged, failed = (sum(bool(result.get(key)) for result in results) for key in ("diverged", "error"))
    same = len(results) - diverged - failed
    counts = [f"{same} without divergence", f"{diverged} diverged", *([f"{failed} not replayed"] if failed else [])]
    lines = [f"{len(results)} {'replay' if len(results) == 1 else 'replays'}: {', '.join(counts)}."]
    changed: dict[str, int] = {}
    for result in results:
        for change in result.get("changes", ()):
            changed[change] = changed.get(change, 0) + 1
    if changed:
        lines.append("Changed since the recordings:")
        lines += [f"  {change} (in {count} of {len(results)})" for change, count in changed.items()]
    lines += dict.fromkeys(result["proves"] for result in results if result.get("proves"))
    return "\n".join(lines)


def junit_of(results: Sequence[dict[str, Any]]) -> str:
    """Returns the results of replays as JUnit XML with one test case for each result of `run`. A divergence (the call
    differs from its recording) becomes a `failure` in the XML. A replay that could not be run (its result has the key
    `error`) becomes an `error`.
    """
    failed, broken = (sum(bool(result.get(key)) for result in results) for key in ("diverged", "error"))
    suite = ElementTree.Element(
        "testsuite", name="telephony replay", tests=str(len(results)), failures=str(failed), errors=str(broken)
    )
    for result in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"replay.{result['mode']}", name=result["title"], time=f"{result['cpu_s']:.3f}"
        )
        if result.get("error"):
            ElementTree.SubElement(case, "error", message=_plain(result["error"]))
        elif result["diverged"]:
            failure = ElementTree.SubElement(case, "failure", message=_plain(result["divergence"]["sentence"]))
            failure.text = _plain(result["text"])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _plain(text: str) -> str:
    """Returns the text without characters that XML does not allow."""
    return "".join(c for c in text if c in "\n\t" or c >= " ")
