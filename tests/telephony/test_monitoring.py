"""The dashboard and the alerts name metrics and labels that exist, and each alert has an entry in the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from telephony.metrics import Metrics
from telephony.simulator.probe import ProbeResult, write_metrics

DEPLOY, RUNBOOK = Path("deploy"), Path("docs/runbook.md")
FOREIGN = {"up": {"job"}}
_METRIC = re.compile(r"(?<![\w$.])([a-z][a-z0-9_]*_[a-z0-9_]+|up)\b(?!\s*\()(?:\{([^}]*)\})?")
_LABELS = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")
_OF_PROMETHEUS = {"le", "instance", "job"}
_FUNCTIONS = {"histogram_quantile", "rate_interval"}


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard: dict[str, Any] = json.loads((DEPLOY / "grafana/telephony.json").read_text())
    return list(dashboard["panels"])


def expressions() -> Iterator[tuple[str, str]]:
    """(expression, texts with labels)"""
    for rule in alerts():
        yield rule["expr"], rule["annotations"]["summary"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def existing(tmp_path: Path) -> dict[str, set[str]]:
    """The labels of each sample that the application and the probe have."""
    found: dict[str, set[str]] = dict(FOREIGN)
    for collector, names in Metrics().registry._collector_to_names.items():
        for name in names:
            found[name] = set(getattr(collector, "_labelnames", ()))
    write_metrics(ProbeResult(0.5, 1.0), tmp_path / "probe.prom", now=1.0)
    for family in text_string_to_metric_families((tmp_path / "probe.prom").read_text()):
        found[family.name] = set()
    return found


def names_in(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that it selects."""
    without_labels = _LABELS.sub("", expression)
    return [
        (found[1], {part.partition("=")[0].strip("!~ ") for part in (found[2] or "").split(",") if part.strip()})
        for found in _METRIC.finditer(without_labels)
        if found[1] not in _FUNCTIONS
    ]


def test_every_query_names_metrics_and_labels_that_exist(tmp_path: Path) -> None:
    known = existing(tmp_path)
    for expression, texts in expressions():
        metrics = names_in(expression)
        assert metrics, expression
        labels: set[str] = set()
        for name, selected in metrics:
            assert name in known, f"{name} in {expression}"
            assert selected <= known[name] | _OF_PROMETHEUS, f"{selected} in {expression}"
            labels |= known[name]
        grouped = {each.strip() for found in _LABELS.findall(expression) for each in found.split(",")}
        assert grouped <= labels | _OF_PROMETHEUS, expression
        assert set(_LEGEND.findall(texts)) <= (grouped or labels) | _OF_PROMETHEUS, texts


def parsed(expression: str) -> promql_parser.Expr:
    """The query as Prometheus reads it. Grafana replaces its variables before. Raises `ValueError`."""
    return promql_parser.parse(re.sub(r"\$__(rate_interval|interval|range)", "5m", expression))


def test_prometheus_can_parse_every_query() -> None:
    for expression, _ in expressions():
        assert "$" not in parsed(expression).prettify(), expression


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (rate(telephony_calls_total[5m]))",
        "telephony_calls_live{agent='a'",
        "rate(telephony_calls_total)",
        "rates(telephony_calls_total[5m])",
        "telephony_calls_live > > 1",
        "telephony_calls_live[5m] > 1",
    ],
)
def test_a_query_that_prometheus_refuses_is_found(expression: str) -> None:
    with pytest.raises(ValueError):
        parsed(expression)


def test_prometheus_s_own_tool_accepts_the_alerts() -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("no promtool here (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "prometheus/alerts.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0 and f"{len(alerts())} rules found" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("expression", ["rate(telephony_calls_totals[5m])", 'telephony_calls_live{agents="a"} > 1'])
def test_the_check_finds_a_wrong_name(expression: str, tmp_path: Path) -> None:
    known = existing(tmp_path)
    assert any(name not in known or not selected <= known[name] for name, selected in names_in(expression))


def test_every_metric_of_ours_is_on_the_dashboard(tmp_path: Path) -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name, _ in names_in(target["expr"])}
    alerted = {name for rule in alerts() for name, _ in names_in(rule["expr"])}
    ours = {
        name
        for name in existing(tmp_path)
        if name.startswith("telephony_") and not name.endswith(("_created", "_sum", "_count", "_info"))
    }
    missing = {name for name in ours - shown - alerted if name + "_bucket" not in ours and name + "_total" not in ours}
    assert missing <= {"telephony_messages_skipped_total", "telephony_probe_answered"}, missing


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    assert headings == names, "in the same order"
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
