"""The generated pages of `docs/` and `deploy/.env.example` are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import reference
from telephony.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_that_of_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == reference.page(name), "run `python -m docs.reference`"


def test_the_example_of_the_environment_is_that_of_the_code() -> None:
    assert (ROOT / "deploy" / ".env.example").read_text() == reference.env_example(), "run `python -m docs.reference`"


def test_every_setting_is_documented() -> None:
    assert [name for name, text in reference.descriptions().items() if not text] == []


def test_every_group_of_settings_begins_with_a_setting() -> None:
    assert set(reference.GROUPS) <= set(Settings.model_fields)
