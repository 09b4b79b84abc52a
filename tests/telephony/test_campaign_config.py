"""The configuration of a campaign: durations, counts, windows, and refused values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from telephony.campaigns.config import CampaignConfig, Rate, RetryRule, duration_of, retry_rules
from telephony.campaigns.contact import Outcome


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30m", timedelta(minutes=30)),
        (" 1h30m ", timedelta(hours=1.5)),
        ("0.5d", timedelta(hours=12)),
        ("2 w", timedelta(weeks=2)),
        ("10s", timedelta(seconds=10)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert duration_of(text) == duration


@pytest.mark.parametrize("text", ["", "30", "m", "30m later", "367d", "9999999d", "1e9s"])
def test_what_is_no_duration_of_at_most_a_year_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|longer than a year"):
        duration_of(text)


@pytest.mark.parametrize("text", ["3/30m", "2/4h", "1/1d", "4/90s", "100/366d"])
def test_a_count_and_a_duration_are_written_as_they_are_read(text: str) -> None:
    assert str(RetryRule.model_validate(text)) == text


@pytest.mark.parametrize("value", ["3", "3x/30m", "/30m", "3/", "101/1h", {"times": 1, "per": timedelta(days=-1)}])
def test_what_is_no_count_and_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Rate.model_validate(value)


def test_a_rate_allows_at_least_one_call_and_a_rule_may_allow_no_more_attempt() -> None:
    with pytest.raises(ValidationError):
        Rate.model_validate("0/1d")
    assert RetryRule.model_validate("0/1d").times == 0


def test_rules_name_outcomes() -> None:
    rules = retry_rules("busy=3/30m, no_answer=2/4h  machine=0")
    assert {outcome: rule.times for outcome, rule in rules.items()} == {
        Outcome.BUSY: 3,
        Outcome.NO_ANSWER: 2,
        Outcome.MACHINE: 0,
    }
    with pytest.raises(ValueError, match="write busy=3/30m"):
        retry_rules("busy")
    with pytest.raises(ValueError, match=r"these can: .*busy"):
        retry_rules("reached=1/1h")


def test_a_text_of_rules_changes_what_it_names_and_a_mapping_is_all_rules() -> None:
    usual = CampaignConfig().retry
    changed = CampaignConfig.model_validate({"retry": "busy=0"}).retry
    assert changed[Outcome.BUSY].times == 0
    assert changed[Outcome.NO_ANSWER] == usual[Outcome.NO_ANSWER]
    whole = CampaignConfig.model_validate({"retry": {"busy": "1/1h", Outcome.MACHINE: "2/1d"}}).retry
    assert set(whole) == {Outcome.BUSY, Outcome.MACHINE}
    with pytest.raises(ValidationError):
        CampaignConfig.model_validate({"retry": 3})


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_message_is_no_message(empty: str) -> None:
    assert CampaignConfig(message=empty).message is None
    assert CampaignConfig.model_validate_json(f'{{"message": {json.dumps(empty)}}}').message is None


def test_windows_are_one_text_or_several() -> None:
    one = CampaignConfig.model_validate({"windows": "mon-fri 09:00-18:00; sat 10:00-12:00"}).windows
    several = CampaignConfig.model_validate({"windows": ["mon-fri 09:00-18:00", "sat 10:00-12:00"]}).windows
    assert one == several
    assert len(one) == 2


NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"starts_at": NOON.replace(tzinfo=None)}, "with its offset"),
        ({"failures": 21, "failures_of": 20}, "never open"),
        ({"starts_at": NOON, "ends_at": NOON}, "not after starts_at"),
        ({"at_onc": 3}, "at_onc"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CampaignConfig.model_validate(fields)


def test_the_end_may_come_after_the_start_or_stand_alone() -> None:
    later = NOON + timedelta(days=1)
    assert CampaignConfig(starts_at=NOON, ends_at=later).ends_at == later
    assert CampaignConfig(ends_at=later).starts_at is None
