"""Describes why a call ended, in words for a supervisor. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..call.ending import Ending, EndReason
from ..records.call_record import CallRecord

__all__ = ["CHOICES", "EndingWords", "label_of", "words_of"]


@dataclass(frozen=True, slots=True)
class EndingWords:
    """A description of one reason why calls end. `label` is short, for a table. `sentence` is a complete sentence."""

    label: str
    sentence: str


_WORDS: dict[str, EndingWords] = {
    "hung_up": EndingWords("Caller hung up", "The caller hung up."),
    "agent_hung_up": EndingWords("Agent hung up", "The agent hung up."),
    "supervisor_hung_up": EndingWords("Supervisor hung up", "A supervisor hung up in the console."),
    "silence": EndingWords("Silence", "The caller said nothing for a long time, so the call was ended."),
    "said_nothing": EndingWords("Silence", "The caller said nothing at all, so the call was ended."),
    "maximum_length": EndingWords("Too long", "The call reached the maximum length, so it was ended."),
    "machine": EndingWords("Answering machine", "An answering machine took the call."),
    "transferred": EndingWords("Transferred", "The caller was transferred."),
    "stream_lost": EndingWords("Line lost", "The connection to the caller was lost and could not be replaced."),
    "stream_taken": EndingWords("Moved", "Another process of this server continued the call."),
    "stream_elsewhere": EndingWords("Moved", "Another process of this server continued the call."),
    "no_stream": EndingWords("No audio", "The caller's audio never arrived. The caller had probably hung up before."),
    "refused": EndingWords("Refused", "The call was refused, because it did not come from Twilio as expected."),
    "failed": EndingWords("Failed", "The agent could not continue the call."),
    "drained": EndingWords("Server stopped", "The server was stopped, so the call was ended."),
    "process_stops": EndingWords("Server stopped", "The server was stopped during the call."),
    "interrupted": EndingWords("Server failed", "The process of this call ended during the call."),
    "busy": EndingWords("Busy", "The line of the called person was busy."),
    "no-answer": EndingWords("No answer", "Nobody answered."),
    "canceled": EndingWords("Given up", "The call was ended before an answer."),
    "completed": EndingWords("Ended", "The other side hung up."),
    "refused-number": EndingWords("Wrong number", "No agent answers the called number."),
    "refused-draining": EndingWords("Server stopped", "The call arrived while the server was stopping."),
    "refused-journal": EndingWords("Not recorded", "The call was refused, because it could not be recorded."),
    "refused-full": EndingWords(
        "All lines in use", "The call was refused, because the maximum number of calls was reached."
    ),
    "refused-caller": EndingWords("Called too often", "The call was refused: this number had called too often."),
    "refused-attestation": EndingWords(
        "Not verified", "The call was refused: the carriers do not vouch for its number."
    ),
    "refused-blocked": EndingWords("Blocked", "The call was refused: this number is blocked."),
    "refused-withheld": EndingWords("Number withheld", "The call was refused, because the caller has no number."),
    "refused-budget": EndingWords("Budget used up", "The call was refused: the budget of the day was used up."),
}

CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "caller": ("Caller hung up", ("hung_up", "completed")),
    "agent": ("Agent hung up", ("agent_hung_up",)),
    "supervisor": ("Supervisor hung up", ("supervisor_hung_up",)),
    "transferred": ("Transferred", ("transferred",)),
    "silence": ("Silence, or too long", ("silence", "said_nothing", "maximum_length")),
    "unanswered": ("Nobody answered", ("busy", "no-answer", "canceled", "machine")),
    "refused": ("Refused", ("refused", *(code for code in _WORDS if code.startswith("refused-")))),
    "failed": ("Failed, or line lost", ("failed", "stream_lost", "no_stream")),
    "server": ("Server failed or stopped", ("interrupted", "drained", "process_stops")),
}
"""The filter "why the call ended" of the call history. The keys are the values of the query parameter `why`. Each value
is the label that the page shows, and the codes (`CallRecord.ending_code`) that the filter selects.
"""


def label_of(code: str) -> str:
    """Returns the short description for the code of an ending (`CallRecord.ending_code`)."""
    if (known := _WORDS.get(code)) is not None:
        return known.label
    return "Refused" if code.startswith("refused-") else code.replace("_", " ").replace("-", " ").capitalize()


def words_of(row: CallRecord) -> EndingWords | None:
    """Returns the description of why this call ended, or None if the call is not over."""
    code = row.ending_code
    if not code:
        return None
    known = _WORDS.get(code)
    if known is None:
        sentence = f"The call was {row.ending_words}." if code.startswith("refused-") else f"{row.ending_words}."
        return EndingWords(label_of(code), sentence)
    ending = Ending.parse(row.reason)
    detail = ending.detail if ending is not None else ""
    if detail and ending is not None and ending.reason is EndReason.TRANSFERRED:
        return EndingWords(known.label, f"The caller was transferred to {detail}.")
    error = detail or row.error
    return EndingWords(known.label, f"{known.sentence} The error was: {error}" if error else known.sentence)
