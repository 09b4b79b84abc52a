"""The languages of the package, and the languages of a folder of the user.

The user's folder contains one folder for each language, named by the language tag. Each of these folders contains
`texts.toml`, and an audio file for each clip (`apology.wav`, or `.ulaw` for mu-law at 8 kHz). The folder for a language
of the package may contain only the differences.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ..audio.files import load_ulaw
from ..errors import AudioFileError, LocaleError
from .tags import base_of, check_tag

__all__ = ["SHIPPED", "Locale", "Locales", "english", "shipped", "waiting_sound", "words_of"]

SHIPPED = ("en", "de", "es", "fr", "it")
_TABLES = ("language", "clips", "texts", "instructions")
_LANGUAGE = ("name", "english", "say_language", "say_voice")
_ENDINGS = (".ulaw", ".wav", ".mp3", ".flac", ".ogg")


@dataclass(frozen=True, slots=True, eq=False)
class Locale:
    """One language of the fixed texts of calls: its texts, clips and voice."""

    tag: str
    name: str
    """The name of the language in the language itself, such as `Deutsch`."""
    english: str
    """The name of the language in English."""
    say_language: str
    """The attribute `language` of the TwiML verb `<Say>` in this language."""
    say_voice: str
    """The attribute `voice` of the TwiML verb `<Say>` in this language. Source:
    https://www.twilio.com/docs/voice/twiml/say/text-speech
    """
    texts: Mapping[str, str] = field(repr=False)
    """The texts that Twilio says, by their names."""
    words: Mapping[str, str] = field(repr=False)
    """The words of the clips, by the names of the clips."""
    instructions: Mapping[str, str] = field(repr=False)
    """The instructions for the model, by their names."""
    clips: Mapping[str, bytes] = field(repr=False)
    """The clips by their names, in mu-law at 8 kHz."""

    def text(self, name: str, **values: str) -> str:
        """Returns the text `name` of this language. The `values` replace the placeholders of the text."""
        return self.texts[name].format(**values)


class Locales:
    """A collection of languages, each found by its language tag such as `de`."""

    def __init__(self, locales: Iterable[Locale] = ()) -> None:
        self._by_tag = {locale.tag: locale for locale in locales}

    @classmethod
    def load(cls, folder: Path | None = None) -> Locales:
        """Returns the languages of the package, and the languages of the user's `folder`.

        Raises:
            LocaleError: the folder, a text or a clip is missing or invalid. The message says what must be added.
        """
        known = {tag: shipped(tag) for tag in SHIPPED}
        if folder is None:
            return cls(known.values())
        if not folder.is_dir():
            raise LocaleError(f"{folder} is no folder: create it, with one folder for each language.")
        for each in sorted(folder.iterdir()):
            if each.is_dir():
                tag = _tag(each)
                known[tag] = _read(each, tag, known.get(tag))
        return cls(known.values())

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._by_tag)

    def find(self, tag: str) -> Locale | None:
        """Returns the language with this language tag, such as `de-AT`. If there is no such language, returns the
        language of the tag without its region, or None.
        """
        return self._by_tag.get(tag) or self._by_tag.get(base_of(tag))

    def of(self, tag: str) -> Locale:
        """Returns the language with this language tag, such as `de-AT`. If there is no such language, returns the
        language of the tag without its region (`de`). Raises `LocaleError` if that does not exist either.
        """
        if (found := self.find(tag)) is None:
            raise LocaleError(
                f"There are no texts in the language {tag!r}: write one of {', '.join(self.tags)}, or set `locales` to "
                "a folder with more languages."
            )
        return found


@cache
def shipped(tag: str) -> Locale:
    """Returns the language of the package with this language tag."""
    return _read(files(__package__) / tag, tag, None)


def english() -> Locale:
    return shipped("en")


@cache
def waiting_sound() -> bytes:
    """Returns a waiting sound (mu-law, 8 kHz) that can be played in a loop: four plucked notes."""
    return (files(__package__) / "waiting.ulaw").read_bytes()


def words_of(ulaw: bytes) -> str:
    """Returns the words that are spoken in `ulaw`, if it is one of the recorded clips of this package. Otherwise
    returns an empty text.
    """
    for tag in SHIPPED:
        for name, clip in shipped(tag).clips.items():
            if clip is ulaw:
                return shipped(tag).words[name]
    return ""


def _tag(folder: Path) -> str:
    try:
        return check_tag(folder.name)
    except ValueError as error:
        raise LocaleError(f"{folder}: {error}.") from None


def _read(folder: Traversable, tag: str, base: Locale | None) -> Locale:
    given = _tables(folder / "texts.toml", required=base is None)
    words = _texts(given["clips"], None if base is None else base.words, "clips", folder)
    texts = _texts(given["texts"], None if base is None else base.texts, "texts", folder)
    instructions = _texts(given["instructions"], None if base is None else base.instructions, "instructions", folder)
    clips = {name: clip for name in words if (clip := _clip(folder, name)) is not None}
    if base is not None:
        clips = {**base.clips, **clips}
    elif missing := [name for name in words if name not in clips]:
        raise LocaleError(f"{folder}: the clips {', '.join(missing)} are missing: add {missing[0]}.wav.")
    about = given["language"]
    if base is not None:
        changed = {name: value for name, value in about.items() if name in _LANGUAGE}
        return replace(base, words=words, texts=texts, instructions=instructions, clips=clips, **changed)
    if missing := [name for name in _LANGUAGE if name not in about]:
        raise LocaleError(f"{folder}/texts.toml: [language] has no {missing[0]}: add it.")
    named = {name: about[name] for name in _LANGUAGE}
    return Locale(tag, **named, texts=texts, words=words, instructions=instructions, clips=clips)


def _tables(path: Traversable, *, required: bool) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        if required:
            raise LocaleError(f"{path} is missing: copy that of another language and translate it.") from None
        given = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LocaleError(f"{path} cannot be read: {error}.") from None
    if strange := [name for name in given if name not in _TABLES]:
        raise LocaleError(f"{path}: there is no table [{strange[0]}]: known are {', '.join(_TABLES)}.")
    return {name: given.get(name, {}) for name in _TABLES}


def _texts(given: Mapping[str, Any], base: Mapping[str, str] | None, table: str, folder: Traversable) -> dict[str, str]:
    """Returns the texts of one table. Raises `LocaleError` for a text that is missing, is unknown, or has other
    placeholders.
    """
    if folder.name == "en" and base is None:
        return dict(given)  # the other languages are compared with English
    model = {"clips": english().words, "texts": english().texts, "instructions": english().instructions}[table]
    where = f"{folder}/texts.toml: [{table}]"
    for name, text in given.items():
        if name not in model:
            raise LocaleError(f"{where} has {name}, which is not used: remove it.")
        try:
            text.format(**dict.fromkeys(("key", "number", "agent"), ""))
        except (AttributeError, KeyError, IndexError, ValueError):
            raise LocaleError(f"{where} {name}: write a text with no other values than {model[name]!r} has.") from None
    texts = {**(base or {}), **given}
    if missing := [name for name in model if name not in texts]:
        raise LocaleError(f"{where} has no {', '.join(missing)}: translate {model[missing[0]]!r}.")
    return texts


def _clip(folder: Traversable, name: str) -> bytes | None:
    for ending in _ENDINGS:
        file = folder / f"{name}{ending}"
        if file.is_file():
            data = file.read_bytes()
            try:
                return data if ending == ".ulaw" else load_ulaw(data, name)
            except AudioFileError as error:
                raise LocaleError(f"{file}: {error}") from None
    return None
