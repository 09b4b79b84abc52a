"""Checks and shortens language tags such as `de-AT`. Pure.

Source: RFC 5646. Only the language and the region are used.
"""

from __future__ import annotations

import re

__all__ = ["base_of", "check_tag"]

_TAG = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")


def check_tag(tag: str) -> str:
    """Returns a language tag such as `de` or `pt-BR` in the usual form. Raises `ValueError` for an invalid tag."""
    language, _, region = tag.strip().replace("_", "-").partition("-")
    tag = language.lower() + (f"-{region.upper()}" if region else "")
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{tag!r} is no language: write a tag like de or pt-BR")
    return tag


def base_of(tag: str) -> str:
    """Returns the language of a language tag without its region, for example `de` for `de-AT`."""
    return tag.partition("-")[0]
