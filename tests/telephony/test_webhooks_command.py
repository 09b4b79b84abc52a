"""`telephony webhooks` lists the outbox and sends webhooks again."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.outbox import Message, MessageState

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def messages(database_url: str, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with closing(DatabaseRecords(database_url)) as records:
        for n, state in enumerate((MessageState.DELIVERED, MessageState.DEAD, MessageState.PENDING)):
            records.note([CallUpdate(f"CA{n}", NOON, True, {"status": "completed"}, 0.0)])
            (claimed,) = records.outbox.claim_due(NOON, lease_s=60, limit=1)
            error = "" if state is MessageState.DELIVERED else "HTTP 500"
            records.outbox.settle(replace(claimed, state=state, error=error))
        return sorted(records.outbox.messages(), key=lambda each: each.call_id)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["webhooks", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def states(*arguments: str) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(run("list", "--json", *arguments))
    return {row["call"]: row["state"] for row in rows}


def test_the_list_has_each_webhook_and_its_state(messages: list[Message]) -> None:
    assert states() == {"CA0": "delivered", "CA1": "dead", "CA2": "pending"}
    assert states("--state", "dead") == {"CA1": "dead"}
    assert len(states("--limit", "2")) == 2
    assert "HTTP 500" in run("list")
    assert "lost" in run("list", "--state", "lost", code=2)


def test_webhooks_are_sent_again(messages: list[Message]) -> None:
    run("redeliver", messages[0].id)
    assert states() == {"CA0": "pending", "CA1": "dead", "CA2": "pending"}
    run("redeliver", "--dead")
    assert set(states().values()) == {"pending"}
    run("redeliver", messages[0].id, "msg_unknown", code=1)
    run("redeliver", code=2)


def test_without_a_database_there_is_nothing_to_list() -> None:
    assert "TELEPHONY_DATA_DIR" in run("list", code=1)
