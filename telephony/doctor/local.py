"""Checks of this machine: the settings, the codecs, and the folder of journals."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3, Upsampler3

from ..env_file import composed, env_file
from ..errors import SettingsError, StorageError
from ..journal.daemon import in_daemon
from ..journal.disk import Files
from ..journal.object_storage import ObjectStorage
from ..setting_values import misspelt
from ..settings import Settings, load_settings
from .check_result import CheckResult, ok, skipped, warning, wrong

__all__ = ["check_audio", "check_journal_folder", "check_journal_storage", "check_model", "check_settings"]

_TONE_S = 1.0
_MAX_DB = 0.1
_DISK_S = 5.0
_STORAGE_S = 15.0


def check_settings(environment: Mapping[str, str]) -> tuple[Settings | None, list[CheckResult]]:
    """Returns the settings if they are valid, and the results of their check."""
    results = [warning(name, "is not a setting", cure) for name, cure in misspelt(environment, Settings.model_fields)]
    try:
        settings = load_settings()
    except SettingsError as error:
        problems = [problem.partition(": ") for problem in error.problems]
        return None, [*results, *(wrong(name, "is invalid", advice) for name, _, advice in problems)]
    given = sum(bool(environment.get(name.upper())) for name in Settings.model_fields)
    message = f"{given} are set and valid; the others have their defaults"
    if (path := env_file()) is not None and (names := composed(path)):
        message += f". In {path}, these contain values of other variables: {', '.join(names)}"
    return settings, [*results, ok("settings", message)]


def check_model(settings: Settings) -> CheckResult:
    """Checks whether a speech model is configured. The result says which model answers calls."""
    if settings.telephony_model == "scripted":
        return warning("model", "the embedded model answers, which is no AI", "Set TELEPHONY_MODEL=openai for a model.")
    if settings.openai_base_url is not None:
        return ok("model", f"answers at {settings.openai_base_url}")
    if settings.openai_api_key is not None:
        return ok("model", "OpenAI answers")
    if settings.telephony_model == "openai":
        return wrong("model", "no key is set", "Set OPENAI_API_KEY.")
    return warning(
        "model", "the embedded model answers on this machine, which is no AI", "Set OPENAI_API_KEY for a model."
    )


def check_audio() -> list[CheckResult]:
    """Checks that the codec and the resampler compute the expected values."""
    every = bytes(range(256))
    # 0x7F is the negative zero; it comes back as the positive one
    exact = g711.encode(g711.decode(every)) == every.replace(b"\x7f", b"\xff")
    codec = ok("codec", "mu-law is exact") if exact else wrong("codec", "mu-law is not exact", "Reinstall audioop-lts.")
    db = _round_trip_db(1000)
    message = f"a tone of 1 kHz comes back {db:+.2f} dB"
    if abs(db) <= _MAX_DB:
        return [codec, ok("resampler", message)]
    return [codec, wrong("resampler", message, "Reinstall numpy.")]


def _round_trip_db(hz: int) -> float:
    rate = 8000
    tone = array("h", (round(8000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(int(rate * _TONE_S))))
    back = array("h")
    down = Downsampler3()
    back.frombytes(down.push(Upsampler3().push(tone.tobytes())) + down.flush())
    middle = slice(rate // 10, rate * 9 // 10)
    return 20 * math.log10(_rms(back[middle]) / _rms(tone[middle]))


def _rms(samples: array[int]) -> float:
    return math.sqrt(sum(s * s for s in samples) / len(samples)) or 1e-9


async def check_journal_folder(
    settings: Settings, files: Files | None = None, *, within_s: float = _DISK_S
) -> CheckResult:
    """Checks within `within_s` seconds that a file can be written in the folder of journals.

    If the folder does not exist, checks its nearest existing parent and creates no folder.
    """
    folder = settings.telephony_journal_dir
    if folder is None:
        return skipped("journals", "no journals are written", "Set TELEPHONY_JOURNAL_DIR to record each call.")
    then = "New calls are refused" if settings.telephony_journal_required else "Calls continue without journals"
    advice = f"{then}. Free space there, or set another TELEPHONY_JOURNAL_DIR."
    try:
        async with asyncio.timeout(within_s):
            await in_daemon(partial(_probe, folder, files or Files()), "journal folder")
    except TimeoutError:
        return wrong("journals", f"{folder} cannot be written to: no answer within {within_s:g} s", advice)
    except OSError as error:
        return wrong("journals", f"{folder} cannot be written to: {error.strerror or error}", advice)
    return ok("journals", f"go to {folder}")


async def check_journal_storage(settings: Settings, *, within_s: float = _STORAGE_S) -> list[CheckResult]:
    """Checks within `within_s` seconds that an object can be written to the object storage and deleted. Returns an
    empty list if no object storage is configured.
    """
    if (storage := ObjectStorage.of(settings)) is None:
        return []
    advice = "Journals stay in TELEPHONY_JOURNAL_DIR until it works. Check its credentials and its name."
    try:
        async with asyncio.timeout(within_s):
            await in_daemon(storage.check, "object storage")
    except TimeoutError:
        return [wrong("object storage", f"{storage.url} does not answer within {within_s:g} s", advice)]
    except (StorageError, SettingsError) as error:
        return [wrong("object storage", str(error), advice)]
    return [ok("object storage", f"journals are copied to {storage.url}")]


def _probe(folder: Path, files: Files) -> None:
    for path in (folder, *folder.absolute().parents):
        try:
            path.lstat()
        except FileNotFoundError:
            continue
        files.probe(path)
        return
