"""`.ci/release` names the things that are missing before a release, and passes if nothing is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
READY = "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2030-01-31\n\n### Added\n\n- A thing.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository in which the version 1.2.3 is ready. Its `uv` accepts every lock file."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(REPOSITORY / ".ci" / "release", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "it"\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(READY)
    uv = tmp_path / ".venv-uv" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Change")


def release(folder: Path, version: str = "1.2.3") -> tuple[int, list[str]]:
    """The exit code, and the checks that failed."""
    command = [".ci/release", version, "--dry-run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, [line[6:] for line in done.stdout.splitlines() if line.startswith("FAIL")]


def test_a_version_that_is_ready_passes(checkout: Path) -> None:
    assert release(checkout) == (0, [])


def test_a_version_has_three_numbers(checkout: Path) -> None:
    assert release(checkout, "1.2")[0] == 2


def changelog_is_empty(folder: Path) -> None:
    (folder / "CHANGELOG.md").write_text("## Unreleased\n\n## 1.2.3 - 2030-01-31\n\n## 1.2.2\n\n- Old.\n")


def changes_are_unreleased(folder: Path) -> None:
    (folder / "CHANGELOG.md").write_text(READY.replace("## Unreleased\n", "## Unreleased\n\n- Another thing.\n"))


def version_differs(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "it"\nversion = "1.2.4"\n')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changelog_is_empty, "CHANGELOG.md has '## 1.2.3"),
        (changes_are_unreleased, "CHANGELOG.md has no changes below"),
        (version_differs, "pyproject.toml has the version"),
    ],
)
def test_what_is_not_ready_is_named(checkout: Path, change: Callable[[Path], None], named: str) -> None:
    change(checkout)
    commit(checkout)
    code, (failed,) = release(checkout)
    assert code == 1 and failed.startswith(named)


def test_uncommitted_changes_another_branch_and_a_tag_are_named(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    git(checkout, "checkout", "-q", "-b", "other")
    (checkout / "new").touch()
    code, failed = release(checkout)
    assert code == 1 and failed == [
        "git has no uncommitted changes", "the branch is main", "there is no tag v1.2.3 yet"
    ]  # fmt: skip
