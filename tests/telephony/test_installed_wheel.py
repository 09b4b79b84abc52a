"""The commands of the README work for a user who has installed the wheel, in a folder of their own.

`.ci/package` runs these tests. It gives them the environment into which it has installed the wheel. `test_readme.py`
compares the commands of the README with those that run here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from telephony.records.schema import VERSION
from tests.support.environment import ANY_LOAD

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
TO = "+14155550123"

ENVIRONMENT = os.environ.get("WHEEL_ENVIRONMENT", "")
if not ENVIRONMENT:
    pytest.skip("`.ci/package` runs these tests, with the wheel that it has built", allow_module_level=True)


class Project:
    """A folder with the README's files, and an environment into which the wheel was installed."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self.folder = folder
        self.bin = environment / "bin"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        return {**kept, **ANY_LOAD, **more}

    def run(self, *command: str | Path, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = map(str, command)
        return subprocess.run(
            [str(self.bin / program), *arguments], cwd=self.folder, env=self.environment(**environment),
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    @contextmanager
    def serving(self, *command: str, **environment: str) -> Iterator[str]:
        """Runs a server. Yields its address."""
        program, *arguments = command
        process = subprocess.Popen(
            [str(self.bin / program), *arguments], cwd=self.folder, env=self.environment(**environment),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                raise AssertionError("".join(said))
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder, Path(ENVIRONMENT))
    for name in ("desk", "remind"):
        (code,) = re.findall(rf"```python\n(# {name}\.py.*?)```", README, re.DOTALL)
        (folder / f"{name}.py").write_text(code)
    shutil.copytree(REPOSITORY / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    where = project.run("python", "-c", "import telephony, sys; print(telephony.__file__)").stdout
    assert where.startswith(ENVIRONMENT), where
    return project


def test_the_demo_rings_the_sketch(project: Project) -> None:
    done = project.run("telephony", "demo", "desk:agent", "--fast", "--folder", "rung")
    assert done.returncode == 0 and "hang_up, transfer" in done.stdout, done.stdout + done.stderr


def test_a_new_project_is_made_with_all_its_files(project: Project) -> None:
    """`.ci/package` does what its README says."""
    done = project.run("telephony", "init", "my-agent")
    assert done.returncode == 0, done.stderr
    made = {str(path.relative_to(project.folder / "my-agent")) for path in (project.folder / "my-agent").rglob("*")}
    assert {".env", ".gitignore", "AGENTS.md", "README.md", "desk.py", "pyproject.toml", "evals/criteria.toml",
            "evals/personas/ada.toml", "tests/test_booking.py", "tests/calls/booking.jsonl.gz"} <= made  # fmt: skip


def test_a_recorded_call_is_replayed_made_a_test_and_purged(project: Project) -> None:
    done = project.run("telephony", "demo", "desk:agent", "--fast", "--seed", "1", "--json", "--folder", "calls")
    assert done.returncode == 0, done.stderr
    (call,) = (project.folder / "calls").iterdir()
    done = project.run("telephony", "replay", f"calls/{call.name}", "--agent", "desk:agent")
    assert done.returncode in (0, 3) and "Traceback" not in done.stderr, done.stderr
    done = project.run("telephony", "calls", "test", "add", call.name, "--name", "booking")
    assert done.returncode == 0 and (project.folder / "tests" / "test_booking.py").exists(), done.stderr
    done = project.run("telephony", "calls", "purge", "--days", "0", TELEPHONY_JOURNAL_DIR="calls")
    assert done.returncode == 0 and call.name in done.stdout, done.stderr


def test_the_records_are_listed_and_a_person_is_erased(project: Project) -> None:
    database = f"sqlite:///{project.folder}/empty.db"
    done = project.run("telephony", "calls", "list", DATABASE_URL=database)
    assert done.returncode == 0 and "no calls" in done.stdout, done.stderr
    done = project.run("telephony", "calls", "erase", "--number", TO, DATABASE_URL=database)
    assert done.returncode == 0 and json.loads(done.stdout)["complete"], done.stderr


def test_a_recording_is_imported(project: Project) -> None:
    shutil.copy(REPOSITORY / "tests" / "data" / "im-sorry.wav", project.folder / "mono.wav")
    done = project.run("telephony", "calls", "import", "mono.wav")
    assert done.returncode == 1 and "hint:" in done.stderr, done.stdout


@pytest.mark.parametrize("arguments", [[], ["desk:agent"], ["examples.receptionist:agent"],
                                       ["desk:agent", "--outgoing", "remind:agent"]])  # fmt: skip
def test_the_sketch_is_served(project: Project, arguments: Sequence[str]) -> None:
    with project.serving("telephony", "serve", *arguments, "--port", "0") as address:
        with urllib.request.urlopen(f"{address}/readyz", timeout=60) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{address}/console/phone", timeout=60) as page:
            assert b"<html" in page.read(), "the wheel has the softphone's page"


def test_any_server_serves_the_sketch(project: Project) -> None:
    with (
        project.serving("python", "-m", "uvicorn", "desk:app", "--port", "0") as address,
        urllib.request.urlopen(f"{address}/healthz", timeout=60) as answer,
    ):
        assert answer.status == 200


def test_a_script_calls_a_simulated_person(project: Project) -> None:
    done = project.run("python", "remind.py", TO, "Ada", "Friday", TELEPHONY_SIMULATE="busy")
    assert done.stdout.strip() == "busy  None", done.stderr


@pytest.mark.parametrize("program", [["telephony"], ["python", "-m", "telephony"]])
def test_the_command_calls_with_the_scripts_agent_and_result(project: Project, program: Sequence[str]) -> None:
    done = project.run(
        *program, "call", TO, "--result", "remind:Outcome", "--agent", "remind:agent", "--data", "name=Ada",
        "--simulate", "--callee", "busy",
    )  # fmt: skip
    assert done.returncode == 1 and "busy" in done.stdout, done.stdout + done.stderr


def test_the_command_says_what_is_missing_without_a_phone(project: Project) -> None:
    done = project.run("telephony", "call", TO, "--agent", "remind:agent")
    assert done.returncode == 1 and "TELEPHONY_SIMULATE=1" in done.stderr and "Traceback" not in done.stderr
    done = project.run("telephony", "doctor")
    assert "TWILIO_ACCOUNT_SID" in done.stdout and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("ends", ["raise SystemExit(2)", "import sys; sys.exit(main())", "int(sys.argv[9])"])
def test_a_script_without_a_guard_is_reported_in_two_lines(project: Project, ends: str) -> None:
    (project.folder / "unguarded.py").write_text(f"import sys\ndef main(): return 3\n{ends}\n")
    for option in ("--agent", "--result") if "main" in ends else ("--agent",):
        arguments = {"--agent": "remind:agent", "--result": "remind:Outcome"} | {option: "unguarded:agent"}
        done = project.run("telephony", "call", TO, "--simulate", *(it for pair in arguments.items() for it in pair))
        assert "unguarded" in done.stderr and "__main__" in done.stderr, done.stderr
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 2, done.stderr


def test_the_simulator_starts(project: Project) -> None:
    with project.serving("telephony", "simulate", "--json") as address:
        assert address


def test_a_list_is_called(project: Project) -> None:
    (project.folder / "people.csv").write_text(f"to,name,day\n{TO},Ada,Friday\n")
    command = ("telephony", "campaign", "run", "people.csv", "--agent", "remind:agent", "--simulate", "--fast")
    done = project.run(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["funnel"]["states"] == {"done": 1}


def test_a_caller_of_the_users_own_is_found_beside_the_agent(project: Project) -> None:
    (project.folder / "people.py").write_text(
        "async def shy(phone):\n    await phone.agent_speaks()\n    phone.hang_up()\n"
    )
    done = project.run("telephony", "demo", "desk:agent", "--caller", "people:shy", "--fast", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["call_s"] < 30, done.stderr


def test_the_package_knows_its_version(project: Project) -> None:
    shown = project.run("python", "-c", "import telephony; print(telephony.__version__)").stdout.strip()
    assert f'\nversion = "{shown}"\n' in (REPOSITORY / "pyproject.toml").read_text()


def test_the_wheel_has_the_migrations_of_the_records(project: Project) -> None:
    code = (
        "import sys; from telephony.records.database import DatabaseRecords as Records\n"
        "records = Records('sqlite:///' + sys.argv[1]); print(records.call('CA1'), records.check())"
    )
    done = project.run("python", "-c", code, project.folder / "records.db")
    assert done.returncode == 0, done.stderr
    assert f"schema {VERSION}" in done.stdout
