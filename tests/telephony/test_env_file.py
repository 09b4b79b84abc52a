"""The file `.env`: its settings, their precedence, and the cases in which it is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telephony import Telephony
from telephony.demo.environment import child_environment
from telephony.doctor.local import check_settings
from telephony.env_file import environment
from telephony.errors import SettingsError
from telephony.settings import load_settings, read_settings
from tests.support import commands


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TELEPHONY_ENV_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_option_comes_before_the_environment_before_the_file_before_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().port == 8000
    (folder / ".env").write_text("PORT=8001\nLOG_LEVEL=debug\n")
    assert (load_settings().port, load_settings().log_level) == (8001, "debug")
    monkeypatch.setenv("PORT", "8002")
    assert (load_settings().port, load_settings().log_level) == (8002, "debug")
    assert load_settings(port=8003).port == 8003


@pytest.mark.parametrize(
    "text",
    ["\ufeffPORT=8001", "PORT=8001\r\nLOG_LEVEL=info\r\n", "export PORT=8001", "# a note\n\nPORT='8001'  # another",
     "port=8001", "PORT=8001\nOTHER_PROGRAM=1\n", "PORT=8001\nAWS_PROFILE\nexport HOST\n"],
)  # fmt: skip
def test_a_file_as_people_write_it(text: str, folder: Path) -> None:
    (folder / ".env").write_text(text, "utf-8")
    assert load_settings().port == 8001


@pytest.mark.parametrize(
    ("text", "lines"),
    [("PORT: 8001\nLOG_LEVEL=info\n", [1]), ("PORT=8001\n\n# a note\nexport PORT\n", [4]),
     ('PORT=8001\nTWILIO_AUTH_TOKEN="pass-word\nLOG_LEVEL=info\n', [2]), ("\ufeffPORT 8001\n\nHOST x\n", [1, 3]),
     ("twilio api:explorer --pass-word", [1]), ('PORT=8001\n{"HOST":"pass-word"}\n', [2])],
)  # fmt: skip
def test_a_line_that_is_not_a_setting_is_refused_with_its_number(text: str, lines: list[int], folder: Path) -> None:
    (folder / ".env").write_text(text, "utf-8")
    for read in (load_settings, environment):
        with pytest.raises(SettingsError) as caught:
            read()
        assert [problem.split(":")[0] for problem in caught.value.problems] == [f".env, line {n}" for n in lines]
        assert "pass-word" not in str(caught.value)


KEPT = ["pass-${word}", "${word}", "a$b", "$word", "p${", "p${word", "${}", "x$$y", "${word}${other}"]


@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("value", KEPT)
def test_a_secret_with_a_dollar_sign_is_kept(
    value: str, quote: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TELEPHONY_ENV_FILE", f"{folder.name}.env")  # each file warns once
    (folder / f"{folder.name}.env").write_text(f"# a note\nOPENAI_API_KEY={quote}{value}{quote}\n")
    key = read_settings().openai_api_key
    assert key is not None and key.get_secret_value() == value
    assert environment()["OPENAI_API_KEY"] == value
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == (value.count("}") > 0 and quote != "'")
    assert all(".env, line 2: OPENAI_API_KEY contains ${...}" in line and "word" not in line for line in warned)


def test_a_value_in_single_quotes_is_kept_even_if_the_variable_exists(folder: Path) -> None:
    (folder / ".env").write_text("WORD=other\nOPENAI_API_KEY='p${WORD}'\n")
    key = read_settings().openai_api_key
    assert key is not None and key.get_secret_value() == "p${WORD}"


def test_a_variable_that_exists_is_replaced_and_the_doctor_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_NAME", "phone.example.com")
    (folder / ".env").write_text(
        "PASSWORD=word\nDATABASE_URL=postgresql://ada:${PASSWORD}@db/calls\nTWILIO_AUTH_TOKEN=token\n"
        "PUBLIC_URL=https://${HOST_NAME}\nTELEPHONY_APOLOGY=${NONE:-Sorry.}\nOPENAI_API_KEY=sk-1\n"
    )
    settings = load_settings()
    assert settings.public_url == "https://phone.example.com" and settings.telephony_apology == "Sorry."
    assert settings.records_url == "postgresql://ada:word@db/calls"
    [result] = check_settings(environment())[1]
    assert "values of other variables: DATABASE_URL, PUBLIC_URL, TELEPHONY_APOLOGY" in result.message
    assert "word" not in result.message


def test_an_empty_variable_counts_as_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("PORT=8001\nLOG_LEVEL=\n")
    monkeypatch.setenv("PORT", "")
    assert (load_settings().port, load_settings().log_level) == (8001, "info")
    assert environment()["PORT"] == "8001" and "LOG_LEVEL" not in environment()


def test_what_is_wrong_in_the_file_is_reported_as_in_the_environment(folder: Path) -> None:
    (folder / ".env").write_text("PORT=seventy\nOPENAI_API_KEY=sk-secret value\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.split(":")[0] for line in caught.value.problems] == ["OPENAI_API_KEY", "PORT"]
    assert "sk-secret" not in str(caught.value)


def test_a_folder_above_is_not_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("PORT=8001\n")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert load_settings().port == 8000


def test_another_file_or_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("PORT=8001\n")
    (folder / "live.env").write_text("PORT=8002\n")
    monkeypatch.setenv("TELEPHONY_ENV_FILE", "live.env")
    assert load_settings().port == 8002
    monkeypatch.setenv("TELEPHONY_ENV_FILE", "off")
    assert load_settings().port == 8000
    monkeypatch.setenv("TELEPHONY_ENV_FILE", "missing.env")
    with pytest.raises(SettingsError, match=r"missing\.env cannot be read"):
        load_settings()


@pytest.mark.parametrize("content", ["folder", "bytes"])
def test_a_file_that_cannot_be_read_is_reported(content: str, folder: Path) -> None:
    (folder / ".env").mkdir() if content == "folder" else (folder / ".env").write_bytes(b"PORT=\xff\xfe1")
    with pytest.raises(SettingsError, match="TELEPHONY_ENV_FILE=off"):
        load_settings()


def test_a_program_that_calls_people_reads_it_too(folder: Path) -> None:
    (folder / ".env").write_text("TELEPHONY_SIMULATE=busy\n")
    assert Telephony.from_env()  # without it: SettingsError, because there is no phone


def test_the_demo_does_not_read_it() -> None:
    assert child_environment({"PATH": "/bin"})["TELEPHONY_ENV_FILE"] == "off"


def test_the_command_reads_it_and_says_in_a_line_what_is_wrong(folder: Path) -> None:
    (folder / ".env").write_bytes(b"\xff\xff")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = commands.run("-m", "telephony", "--version", cwd=folder, env=environment, timeout=60)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and ".env is not UTF-8 text" in done.stderr
