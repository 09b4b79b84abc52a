"""Sets the voice webhooks of the account's numbers, and restores the previous webhooks.

The previous webhook is saved in a file before the settings at Twilio are changed, so the webhook can be restored after
a crash.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import NumberError
from .resources import PhoneNumber
from .rest import TwilioRest

__all__ = ["NumberWebhooks", "SavedWebhook", "VoiceWebhook", "default_path"]


@dataclass(frozen=True, slots=True)
class VoiceWebhook:
    """The settings for the voice webhook of a phone number at Twilio."""

    url: str
    method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    application_sid: str = ""
    """The SID of a TwiML application. If set, Twilio uses the settings of this application and ignores the URLs."""
    status_callback: str = ""
    status_callback_method: str = "POST"

    @classmethod
    def of(cls, number: PhoneNumber) -> VoiceWebhook:
        return cls(
            number.voice_url,
            number.voice_method or "POST",
            number.voice_fallback_url,
            number.voice_fallback_method or "POST",
            number.voice_application_sid,
            number.status_callback,
            number.status_callback_method or "POST",
        )

    def __str__(self) -> str:
        if self.application_sid:
            return f"application {self.application_sid}"
        return (self.url or "nowhere") + (f" (fallback {self.fallback_url})" if self.fallback_url else "")


@dataclass(frozen=True, slots=True)
class SavedWebhook:
    """A number whose webhook was changed, with the previous webhook and the new webhook."""

    sid: str
    number: str
    before: VoiceWebhook
    ours: VoiceWebhook
    account: str = ""
    """The name of the Twilio account in the numbers file (`TELEPHONY_NUMBERS`). The text is empty for the account of
    the settings.
    """
    region: str = ""
    """The region of the number before the first change. The text is empty if the region was not changed."""


def default_path() -> Path:
    """Returns the default path of the file with the saved webhooks, according to
    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "telephony" / "numbers.json"


class NumberWebhooks:
    """Sets the webhooks of numbers through `rest`, and restores the previous webhooks. The previous webhooks are stored
    in the file `path`.
    """

    def __init__(self, rest: TwilioRest, path: Path | None = None) -> None:
        self._rest = rest
        self._path = path or default_path()

    async def set(
        self, number: str, webhook: VoiceWebhook, *, account: str | None = None, region: str = ""
    ) -> SavedWebhook:
        """Sets the webhook of the number at Twilio, and saves the webhook that the number had before the first change.
        `account` is the name of the number's account in the numbers file (`TELEPHONY_NUMBERS`). If `account` is None,
        the number keeps the status callback that it has at Twilio, and `webhook.status_callback` is ignored. This
        method does not change the region of the number. `region` is only saved, for a later restore: the region before
        the change, or an empty text if the region stays the same.

        Raises:
            NumberError: the account has no such number, or the number cannot receive calls.
            TwilioError: Twilio refused, or did not respond.
        """
        found = await self._rest.phone_number(number)
        if found is None:
            raise NumberError(f"The account has no number {number}. `telephony number list` shows its numbers.")
        if not found.voice:
            raise NumberError(f"{number} cannot receive voice calls. Buy a number with Voice, or set another one.")
        if found.trunk_sid:
            raise NumberError(f"{number} belongs to the SIP trunk {found.trunk_sid}. Remove it from the trunk first.")
        all_saved = self.saved()
        current, earlier = VoiceWebhook.of(found), all_saved.get(found.sid)
        if account is None:
            kept = {
                "status_callback": current.status_callback,
                "status_callback_method": current.status_callback_method,
            }
            webhook = replace(webhook, **kept)
        before = earlier.before if earlier is not None and earlier.ours == current else current
        region = earlier.region if earlier is not None and earlier.region else region
        saved = all_saved[found.sid] = SavedWebhook(found.sid, found.number, before, webhook, account or "", region)
        self._write(all_saved)
        await self._update(found.sid, webhook)
        return saved

    async def restore(self, saved: SavedWebhook, *, force: bool = False) -> bool:
        """Restores the saved webhook. If the webhook was changed by another program, deletes the saved webhook, keeps
        the current webhook, and returns False. With `force`, always restores the saved webhook.

        Raises:
            TwilioError: Twilio refused, or did not respond. The webhook is still saved.
        """
        found = await self._rest.phone_number(saved.number)
        is_restored = found is not None and (force or VoiceWebhook.of(found) in (saved.ours, saved.before))
        if is_restored:
            await self._update(saved.sid, saved.before)
        all_saved = self.saved()
        all_saved.pop(saved.sid, None)
        self._write(all_saved)
        return is_restored

    def saved(self) -> dict[str, SavedWebhook]:
        """Returns the webhooks that the numbers had before this program changed them, by the SID of the number. The
        mapping is empty if nothing was changed.

        Raises:
            NumberError: the file exists but cannot be read.
        """
        try:
            text = self._path.read_text("utf-8")
            return {sid: _saved(entry) for sid, entry in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise NumberError(
                f"{self._path} cannot be read ({error}). It has the previous webhooks of numbers."
            ) from error

    async def _update(self, sid: str, webhook: VoiceWebhook) -> None:
        await self._rest.set_voice_webhook(sid, **asdict(webhook))

    def _write(self, saved: dict[str, SavedWebhook]) -> None:
        """Writes the file atomically. Only its owner can read the file."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump({sid: asdict(entry) for sid, entry in saved.items()}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self._path)
        except OSError as error:
            raise NumberError(f"{self._path} cannot be written ({error.strerror}); nothing was changed.") from error


def _saved(entry: dict[str, Any]) -> SavedWebhook:
    before, ours = VoiceWebhook(**entry["before"]), VoiceWebhook(**entry["ours"])
    where = entry.get("account", ""), entry.get("region", "")
    return SavedWebhook(entry["sid"], entry["number"], before, ours, *where)
