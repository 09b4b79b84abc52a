"""The report of `telephony certify` as one HTML file without further files. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top;
border-bottom: 1px solid #ccc } .no { color: #a00000; font-weight: 600 } .yes { color: #00600f }
"""


def page(report: Mapping[str, Any]) -> str:
    """Returns the page of a report (`Certificate.to_json`). The page contains no script, no phone number and no
    audio.
    """
    where = "on a simulated Twilio: it says nothing about the real one" if report["simulated"] else "on Twilio"
    verdict = "All checks passed" if report["passed"] else "Some checks failed"
    rows = "".join(
        f"<tr><td>{escape(check['name'])}</td><td class={'yes' if check['passed'] else 'no'}>"
        f"{'passed' if check['passed'] else 'failed'}</td><td>{escape(check['detail'])}</td></tr>"
        for check in report["checks"]
    )
    found = _list("Deviations", report["deviations"]) + _list("Corrections of the simulator", report["proposals"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>telephony certify</title>'
        f"<style>{_STYLE}</style></head><body><h1>telephony certify</h1>"
        f"<p>{verdict}, {where}. Calls: {len(report['calls'])} ({'simulated' if report['simulated'] else 'real'}). "
        f"Cost by list prices: at most {report['cost_usd']:.2f} USD.</p>{found}"
        f"<table><thead><tr><th>check</th><th>result</th><th>what was seen</th></tr></thead><tbody>{rows}</tbody>"
        f"</table></body></html>\n"
    )


def _list(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    return f"<h2>{escape(title)}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
