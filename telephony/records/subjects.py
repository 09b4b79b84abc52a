"""Keyed hashes of phone numbers. The hashes find the calls of a person after the phone numbers were masked.

A plain hash of a phone number gives no protection, because all phone numbers can be tried. The key is
TELEPHONY_NUMBER_KEY, or a random key in the data directory. All processes that share a database need the same key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from datetime import datetime
from pathlib import Path

from realtime_core.sources import SYSTEM, Sources

from ..errors import SettingsError
from ..settings import Settings
from ..twilio.caller_id import is_withheld
from ..twilio.numbers import e164, tidy
from . import Records

__all__ = ["KEY_FILE", "SubjectKey", "check_key", "subject_key"]

KEY_FILE = "number.key"
_KEY_BYTES = 32
_KIND = "number key"
_TTL_S = 100 * 365 * 86_400.0


class SubjectKey:
    """Hashes phone numbers with one secret key. Call records keep the hash when the number is masked, so the calls of a
    person can still be found.
    """

    def __init__(self, key: bytes, *, is_kept: bool = True) -> None:
        self._key = key
        self.is_kept = is_kept
        """Whether other processes, and this one after a restart, have the same key."""

    def of(self, number: str) -> str:
        """Returns the keyed hash of a phone number or a `sip:` address, as 64 hexadecimal digits. Returns an empty text
        for a withheld number.
        """
        if is_withheld(number):
            return ""
        try:
            written = e164(number)
        except ValueError:
            written = tidy(number).lower()
        return self._hash(f"number\0{written}")

    @property
    def fingerprint(self) -> str:
        """A short hash of the key, which shows whether two processes have the same key. The hash does not reveal the
        key.
        """
        return self._hash("fingerprint")[:16]

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def check_key(records: Records, key: SubjectKey, now: datetime) -> bool:
    """Returns whether the database `records` uses this key for the hashes of phone numbers. The database stores a
    fingerprint of the first key that is checked. Returns True for the first key, and later for the same key only.

    Raises:
        RecordsUnavailable, RecordRefused: the database cannot be used.
    """
    claimed = records.claim(_KIND, "fingerprint", ttl_s=_TTL_S, now=now, value=key.fingerprint)
    return claimed.first or claimed.value == key.fingerprint


def subject_key(settings: Settings, sources: Sources = SYSTEM) -> SubjectKey:
    """Returns the key for the hashes of phone numbers. Without a key in the settings, creates a key in the data
    directory on first use. Without a data directory, the key is random and exists only in this process.

    Raises:
        SettingsError: the file of the key cannot be read or written.
    """
    if settings.telephony_number_key is not None:
        return SubjectKey(settings.telephony_number_key.get_secret_value().encode())
    if (folder := settings.data_dir) is None:
        return SubjectKey(sources.token(_KEY_BYTES).encode(), is_kept=False)
    try:
        return SubjectKey(_stored(folder / KEY_FILE, sources))
    except OSError as error:
        raise SettingsError(
            [f"TELEPHONY_DATA_DIR: {folder / KEY_FILE} cannot be used ({error.strerror}): set a writable folder, "
             "or set TELEPHONY_NUMBER_KEY"]
        ) from None  # fmt: skip


def _stored(path: Path, sources: Sources) -> bytes:
    """Returns the key in this file, and creates the file if needed. If several processes create the file at the same
    time, all processes get the key of the first process.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().strip()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{KEY_FILE}.{sources.token(4)}")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(sources.token(_KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
    return path.read_bytes().strip()
