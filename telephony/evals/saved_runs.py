"""Saves runs of an eval, and reads them again."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import EvalError
from .comparison import CallResult, EvalResult
from .evidence import Evidence
from .report import data_of, junit_of, text_of

__all__ = ["load_calls", "save"]

RUN = "run.json"


def save(result: EvalResult, folder: Path) -> None:
    """Saves the result of an eval: writes `run.json`, `report.txt`, `junit.xml` and `index.html` into the folder. The
    journals of the calls are in `calls/`.
    """
    from .page import page_of

    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN).write_text(json.dumps(data_of(result), indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / "report.txt").write_text(text_of(result) + "\n", encoding="utf-8")
    (folder / "junit.xml").write_text(junit_of(result), encoding="utf-8")
    (folder / "index.html").write_text(page_of(result), encoding="utf-8")


def load_calls(folder: Path) -> list[CallResult]:
    """Returns the calls of the new agent in a saved run. The calls of another run can be compared with these calls.
    Raises `EvalError` if the run cannot be read.
    """
    try:
        run = json.loads((folder / RUN).read_text("utf-8"))
        return [
            CallResult(
                call["case"], call["nth"], Evidence.from_json(call["evidence"]), {}, call["seed"], call["cpu_s"],
                call["journal"],
            )
            for call in run["calls"]["new"]
        ]  # fmt: skip
    except FileNotFoundError as error:
        raise EvalError(
            f"{folder} has no {RUN}: it is no saved run. `telephony eval --save FOLDER` saves one."
        ) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EvalError(f"{folder / RUN} cannot be read: {error}") from error
