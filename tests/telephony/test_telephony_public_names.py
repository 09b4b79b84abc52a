"""The names of the package `telephony`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import telephony


@pytest.mark.parametrize("name", [*telephony.__all__, "__version__"])
def test_a_public_name_is_found_and_listed(name: str) -> None:
    assert getattr(telephony, name) and name in dir(telephony)


def test_every_lazy_name_is_public() -> None:
    assert set(telephony._HOMES) == set(telephony.__all__)


def test_a_fresh_import_lists_all_names() -> None:
    code = "import telephony; print(set(telephony.__all__) <= set(dir(telephony)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
