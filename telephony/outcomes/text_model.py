"""Fills in the unknown fields of a result, and writes a summary, from the heard words of an ended call.

The module sends the transcript to a text model with OpenAI's Chat Completions API, which many servers offer
(https://platform.openai.com/docs/api-reference/chat/create). For each value, the model must quote the words of the
transcript. A value without such a quote is dropped, so information that was not said or not heard stays unknown.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .result_form import ResultForm
from .transcript import Line, as_text

__all__ = ["TextModel", "supported"]

log = logging.getLogger(__name__)

_WITHIN_S = 20.0
_MAX_TRANSCRIPT_CHARS = 60_000
_MAX_ANSWER_BYTES = 256 * 1024
_MAX_SUMMARY_CHARS = 1_000
_WORD = re.compile(r"\w+")

_INSTRUCTIONS = """\
You get the transcript of a phone call: what was said and heard. Answer with one JSON object and nothing else:
{"fields": {NAME: {"value": VALUE, "quote": WORDS}}, "summary": TEXT}
"fields": those of the fields below whose values the transcript says. "quote": the words of one line of the transcript
that say the value, copied exactly. Leave out each field that the transcript does not say. Never guess.
"summary": two short sentences about the call, or "" if it is not wanted."""


class TextModel:
    """A text model at `url`. The URL ends in `/v1`. `summarises` is True if the model also writes summaries."""

    def __init__(self, url: str, name: str, key: str | None = None, *, summarises: bool = False) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._name = name
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self.summarises = summarises

    async def read(self, form: ResultForm | None, transcript: Sequence[Line]) -> str:
        """Fills in the unknown fields of the result `form` from the transcript, and writes a summary. Returns the
        summary, or an empty text. If this fails, logs the failure and does not change the form.
        """
        wanted = {} if form is None else _schemas(form)
        if not transcript or not (wanted or self.summarises):
            return ""
        definitions = {} if form is None else form.type.schema.get("$defs", {})
        answer = await self._ask(as_text(transcript)[-_MAX_TRANSCRIPT_CHARS:], wanted, definitions)
        if form is not None and isinstance(fields := answer.get("fields"), Mapping):
            found = supported(fields, transcript)
            form.add_valid({name: value for name, value in found.items() if name in wanted})
        summary = answer.get("summary")
        return summary[:_MAX_SUMMARY_CHARS].strip() if self.summarises and isinstance(summary, str) else ""

    async def _ask(self, transcript: str, wanted: Mapping[str, Any], definitions: Any) -> Mapping[str, Any]:
        import httpx2

        task = {
            "fields": wanted,
            "definitions": definitions,
            "summary": "wanted" if self.summarises else "not wanted",
        }
        body = {
            "model": self._name,
            "response_format": {"type": "json_object"},
            "messages": [
                {"role": "system", "content": f"{_INSTRUCTIONS}\n{json.dumps(task, ensure_ascii=False)}"},
                {"role": "user", "content": transcript},
            ],
        }
        try:
            async with (
                httpx2.AsyncClient(timeout=_WITHIN_S, follow_redirects=False) as http,
                http.stream("POST", self._url, json=body, headers=self._headers) as response,
            ):
                response.raise_for_status()
                return _answer(await _read(response))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, LookupError, TypeError) as error:
            log.warning("The text model could not read a call: %s", _why(error))
            return {}


def supported(fields: Mapping[str, Any], transcript: Sequence[Line]) -> dict[str, Any]:
    """Returns the values of the fields that the transcript supports, by the name of the field. The other fields are
    left out. Each field is a mapping `{"value": ..., "quote": ...}`. The transcript supports a field if the quote
    occurs in one line: in the words of the caller, or in those words of the agent that the caller heard.
    """
    heard = [_words(line.text if line.heard is None else line.heard) for line in transcript]
    found = {}
    for name, field in fields.items():
        if not isinstance(field, Mapping) or field.get("value") is None:
            continue
        quote = _words(str(field.get("quote") or ""))
        if quote.strip() and any(quote in line for line in heard):
            found[name] = field["value"]
    return found


def _words(text: str) -> str:
    """Returns the words of a text with blanks around each word, so a search finds only whole words."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _schemas(form: ResultForm) -> dict[str, Any]:
    properties = form.type.schema.get("properties", {})
    return {name: properties[name] for name in form.unknown}


async def _read(response: Any) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise ValueError(f"its answer is larger than {_MAX_ANSWER_BYTES} bytes")
    return body


def _answer(body: bytes) -> Mapping[str, Any]:
    answer = json.loads(json.loads(body)["choices"][0]["message"]["content"])
    if not isinstance(answer, Mapping):
        raise ValueError("its answer is no JSON object")
    return answer


def _why(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP {status}" if status is not None else f"{type(error).__name__}: {error}"[:200]
