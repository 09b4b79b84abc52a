"""The cases of an eval: recorded calls, scripted callers and personas, from files and folders."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import CallerError, EvalError
from ..journal.store import JOURNALS
from ..simulator import callers as scripted
from .persona import load_persona

__all__ = ["Case", "CaseKind", "find_cases"]


class CaseKind(StrEnum):
    """The kinds of callers in an eval."""

    RECORDED = "recorded"
    SCRIPTED = "scripted"
    PERSONA = "persona"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of an eval: one simulated caller, which is described by the file at `path`. The file is the journal of a
    recorded call, or a TOML file with a script or a persona. `name` is unique within an eval.
    """

    name: str
    kind: CaseKind
    path: Path


def find_cases(paths: Sequence[Path]) -> list[Case]:
    """Returns the cases in files and folders, in order. In a folder, all journals and TOML files are searched, and TOML
    files without a case are ignored. A file in `paths` must be a case. Raises `EvalError` for an invalid case.
    """
    found: list[Case] = []
    names: dict[str, int] = {}
    for path in paths:
        cases = list(_in_folder(path)) if path.is_dir() else [_case(path)]
        if not cases:
            raise EvalError(f"{path} has no journals (*.jsonl, *.jsonl.gz), personas or scripted callers (*.toml).")
        for case in cases:
            names[case.name] = nth = names.get(case.name, 0) + 1
            found.append(case if nth == 1 else Case(f"{case.name}-{nth}", case.kind, case.path))
    return found


def _in_folder(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.rglob("*")):
        if path.name.endswith((".jsonl", ".jsonl.gz")) or (path.suffix == ".toml" and _kind_of(path) is not None):
            yield _case(path)


def _case(path: Path) -> Case:
    if not path.is_file():
        raise EvalError(f"{path} does not exist. Name journals, TOML files, or folders of them.")
    if path.suffix != ".toml":
        return Case(path.parent.name if path.name in JOURNALS else path.name.split(".")[0], CaseKind.RECORDED, path)
    kind = _kind_of(path)
    if kind is CaseKind.PERSONA:
        load_persona(path)
    elif kind is CaseKind.SCRIPTED:
        try:
            scripted.load(path)
        except CallerError as error:
            raise EvalError(str(error)) from error
    else:
        raise EvalError(f"{path} has neither `goal` (a persona) nor `steps` (a scripted caller).")
    return Case(path.stem, kind, path)


def _kind_of(path: Path) -> CaseKind | None:
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise EvalError(f"{path} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(f"{path} cannot be read: {error}") from error
    if "goal" in document:
        return CaseKind.PERSONA
    return CaseKind.SCRIPTED if "steps" in document else None
