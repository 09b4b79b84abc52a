"""Points a number of the account at us, and remembers where it pointed before.

What was there is on disk before anything is changed at Twilio; so it can be put back whatever becomes of this process.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import NumberError
from .rest import PhoneNumber, TwilioRest

__all__ = ["Kept", "VoiceWebhook", "WebhookKeeper", "default_path"]


@dataclass(frozen=True, slots=True)
class VoiceWebhook:
    """What Twilio asks when a number is called."""

    url: str
    method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    application_sid: str = ""
    """With it, that application's settings count instead."""

    @classmethod
    def of(cls, number: PhoneNumber) -> VoiceWebhook:
        return cls(
            number.voice_url,
            number.voice_method or "POST",
            number.voice_fallback_url,
            number.voice_fallback_method or "POST",
            number.voice_application_sid,
        )

    def __str__(self) -> str:
        if self.application_sid:
            return f"application {self.application_sid}"
        return (self.url or "nowhere") + (f" (fallback {self.fallback_url})" if self.fallback_url else "")


@dataclass(frozen=True, slots=True)
class Kept:
    """A number that we have changed: what was there, and what we put there."""

    sid: str
    number: str
    before: VoiceWebhook
    ours: VoiceWebhook


def default_path() -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/"""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "telephony" / "numbers.json"


class WebhookKeeper:
    """Sets and restores webhooks through `rest`; `path` is a private file."""

    def __init__(self, rest: TwilioRest, path: Path | None = None) -> None:
        self._rest = rest
        self._path = path or default_path()

    async def set(self, number: str, webhook: VoiceWebhook) -> Kept:
        """Point the number there. What was there first, before we ever changed it, is what is kept.

        Raises:
            NumberError: the account has no such number, or it takes no calls for us.
            TwilioError: Twilio said no, or nothing.
        """
        found = await self._rest.phone_number(number)
        if found is None:
            raise NumberError(f"The account has no number {number}. `telephony number list` shows those that it has.")
        if not found.voice:
            raise NumberError(f"{number} takes no voice calls. Buy one that does, or set another.")
        if found.trunk_sid:
            raise NumberError(f"{number} belongs to the SIP trunk {found.trunk_sid}: take it out of there first.")
        all_kept = self.kept()
        current, earlier = VoiceWebhook.of(found), all_kept.get(found.sid)
        before = earlier.before if earlier is not None and earlier.ours == current else current
        kept = all_kept[found.sid] = Kept(found.sid, found.number, before, webhook)
        self._write(all_kept)
        await self._update(found.sid, webhook)
        return kept

    async def restore(self, kept: Kept, *, force: bool = False) -> bool:
        """Put back what was there. False: somebody has changed it since, so it stays, and is no longer kept.

        Raises:
            TwilioError: Twilio said no, or nothing; it is still kept.
        """
        found = await self._rest.phone_number(kept.number)
        ours = found is not None and (force or VoiceWebhook.of(found) in (kept.ours, kept.before))
        if ours:
            await self._update(kept.sid, kept.before)
        all_kept = self.kept()
        all_kept.pop(kept.sid, None)
        self._write(all_kept)
        return ours

    def kept(self) -> dict[str, Kept]:
        """By the number's sid.

        Raises:
            NumberError: the file is there and cannot be read.
        """
        try:
            text = self._path.read_text("utf-8")
            return {sid: _kept(entry) for sid, entry in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise NumberError(f"{self._path} cannot be read ({error}). It holds where numbers led before.") from error

    async def _update(self, sid: str, webhook: VoiceWebhook) -> None:
        await self._rest.set_voice_webhook(sid, **asdict(webhook))

    def _write(self, kept: dict[str, Kept]) -> None:
        """All or nothing, and only for its owner's eyes."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump({sid: asdict(entry) for sid, entry in kept.items()}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self._path)
        except OSError as error:
            raise NumberError(f"{self._path} cannot be written ({error.strerror}); nothing was changed.") from error


def _kept(entry: dict[str, Any]) -> Kept:
    return Kept(
        entry["sid"], entry["number"], VoiceWebhook(**entry["before"]), VoiceWebhook(**entry["ours"])
    )  # fmt: skip
