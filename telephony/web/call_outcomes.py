"""The outcome of each ended call: the result, the summary and the cost. The outcome is written to the database and
passed to `on_end` and to the webhook.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core import RealtimeModelConfig, RealtimeRunConfig
from realtime_core.errors import UserError
from realtime_core.openai_realtime.defaults import DEFAULT_MODEL, DEFAULT_TRANSCRIPTION_MODEL
from realtime_core.sources import Sources
from realtime_core.usage import Usage

from ..call.call import Call
from ..call.call_info import OUTBOUND
from ..call.ending import Ending
from ..call.options import AgentSource
from ..cost import PriceList
from ..outcomes.call_agent import agent_for_call
from ..outcomes.ended_call import EndedCall
from ..outcomes.on_end import OnEnd
from ..outcomes.result_form import ResultForm, ResultType
from ..outcomes.text_model import TextModel
from ..outcomes.transcript import transcript_of
from .call_details import CallDetails

if TYPE_CHECKING:
    from ..outbound.placed_call import PlacedCall

__all__ = ["CallOutcomes", "ModelNames", "TranscriptionUsage", "model_names", "result_type", "with_form"]

READING_S = 60.0
"""The maximum time in seconds by which the text model delays the webhook message about an ended call. The message is
sent when the text model has read the transcript. If this process dies before, the message is sent at the end of this
time.
"""
_MAX_PLACED = 1000


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of the models of a call. A name is empty for the embedded model and for a model of the application."""

    speech: str = ""
    transcription: str = ""


@dataclass(slots=True)
class TranscriptionUsage:
    """The usage of the transcription model in one call, in tokens or in seconds of audio."""

    usage: Usage = field(default_factory=Usage)
    seconds: float | None = None
    used: bool = False

    def add(self, usage: Mapping[str, Any] | None) -> None:
        """Adds the `usage` of one transcript, counted in tokens or in seconds. Some servers report no usage."""
        self.used = True
        if usage and isinstance(seconds := usage.get("seconds"), int | float):
            self.seconds = (self.seconds or 0.0) + seconds
        elif usage:
            self.usage.add(Usage.of_response(usage))


class _Records(Protocol):
    """The methods of the call records that this module uses."""

    def outcome(self, call_id: str, **changes: Any) -> None: ...


class CallOutcomes:
    """Produces the outcome of each ended call: the result, the summary and the cost. `close` waits a limited time for
    the work that follows calls, such as summaries.

    Args:
        result: The type of the results of inbound calls.
        on_end: The application's callback for ended calls.
        text_model: The text model that reads the transcripts of ended calls.
        prices: The prices of the models.
        models: The models that calls use.
        records: The call records to which outcomes are written.
        journal_of: A function that returns the path or the address of the journal of the call with a `CallSid`, or an
            empty string.
    """

    def __init__(
        self,
        *,
        result: ResultType | None,
        on_end: OnEnd,
        text_model: TextModel | None,
        prices: PriceList,
        models: ModelNames,
        records: _Records,
        journal_of: Callable[[str], str],
        sources: Sources,
    ) -> None:
        self._result = result
        self._on_end = on_end
        self._text_model = text_model
        self._prices = prices
        self.models = models
        self._records = records
        self._journal_of = journal_of
        self._sources = sources
        self._reading: set[asyncio.Task[None]] = set()
        self._placed: OrderedDict[str, EndedCall[Any]] = OrderedDict()
        """By `CallSid`: the conversations of placed calls that Twilio has not reported as ended."""

    async def close(self) -> None:
        """Waits until the language model that fills in results has read the transcripts of the ended calls, and until
        the results were passed to the application. Waits `READING_S` seconds at most.
        """
        if self._reading:
            await asyncio.wait(self._reading, timeout=READING_S)

    # --- inbound calls ---------------------------------------------------------------------------------------------

    def form(self) -> ResultForm | None:
        """Returns a new form without values, in which the agent records the result of one inbound call. Returns None if
        the application has not set a type for the results of inbound calls.
        """
        return None if self._result is None else ResultForm(self._result)

    @property
    def hold_s(self) -> float:
        """The maximum time in seconds for which the webhook about an inbound call waits for the outcome (the result and
        the summary).
        """
        return READING_S if self._text_model is not None else 0.0

    def changes(self, call: Call, form: ResultForm | None, cost: float | None) -> dict[str, Any]:
        """Returns the outcome of an ended call as fields of the call record: the recorded result of `form` (`result`),
        and `cost`, the cost of the models in US dollars (`model_cost`). Values that are known only later, such as the
        summary, are missing.
        """
        if form is not None:
            form.validate()
        output = None if form is None else form.type.plain(form.output)
        return {"result": call.masked(output), "model_cost": cost}

    def cost(self, usage: Usage, transcribed: TranscriptionUsage) -> float | None:
        """Returns the cost of the models of a call in US dollars, from the usage of the speech model and of the
        transcription model, or None if a price is not known.
        """
        speech = self._prices.cost(self.models.speech, usage)
        if speech is None or not transcribed.used:
            return speech
        heard = self._prices.cost(self.models.transcription, transcribed.usage, audio_s=transcribed.seconds)
        return None if heard is None else speech + heard

    def ended(
        self, call: Call, form: ResultForm | None, details: CallDetails, duration_s: float, cost: float | None
    ) -> EndedCall[Any]:
        """Returns the data of an ended call that this process served. `form` has the recorded result, `duration_s` is
        the length of the call in seconds, and `cost` is the cost of the models in US dollars.

        The data of an inbound call with a media stream also go to the callback `on_end`, later and in a task. If a text
        model is configured, it first adds the summary, so the returned data have no summary. The data of an outgoing
        call are stored until `placed` gets the final state of the call.
        """
        ended = self._snapshot(call, details, duration_s, cost)
        if call.info.direction == OUTBOUND:
            self._placed[call.sid] = ended
            if len(self._placed) > _MAX_PLACED:
                self._placed.popitem(last=False)
            return ended
        if not call.had_stream:
            return ended  # another process has its stream, or nobody
        if self._text_model is None:
            self._on_end.call(replace(ended, output=None if form is None else form.output))
        else:
            task = asyncio.get_running_loop().create_task(self._read(self._text_model, call, form, ended))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        return ended

    async def _read(self, model: TextModel, call: Call, form: ResultForm | None, ended: EndedCall[Any]) -> None:
        summary = await model.read(form, ended.transcript)
        output = None if form is None else form.output
        plain = None if form is None else form.type.plain(output)
        self._records.outcome(call.sid, result=call.masked(plain), summary=call.masked(summary))
        self._on_end.call(replace(ended, output=output, summary=summary))

    def _snapshot(self, call: Call, details: CallDetails, duration_s: float, cost: float | None) -> EndedCall[Any]:
        ending, journal, happened = Ending.parse(call.ended), self._journal_of(call.sid), details.changes()
        return EndedCall(
            id=call.sid,
            sid=call.sid,
            direction=call.info.direction,
            caller=call.caller,
            called=call.called,
            ending=call.ended,
            ending_code="" if ending is None else ending.reason.name.lower(),
            ended_at=self._sources.now(),
            duration_s=duration_s,
            transcript=transcript_of(call, other="callee" if call.info.direction == OUTBOUND else "caller"),
            agents=tuple(happened["agents"]),
            turns=tuple(happened["turns"]),
            interruptions=happened["interruptions"],
            tools=happened["tools"],
            model=self.models.speech,
            model_cost=cost,
            journal=journal,
            data=dict(call.data),
        )

    # --- placed calls ------------------------------------------------------------------------------------------------

    def placed(self, call: PlacedCall) -> None:
        """Handles a change of a placed call. If the call is over, adds its result and Twilio's status to its
        `EndedCall`, and passes the `EndedCall` to `on_end`.
        """
        if (result := call.result) is None:
            return
        talked = self._placed.pop(call.sid or "", EndedCall(call.token, direction=OUTBOUND))
        code = talked.ending_code if result.status == "completed" else result.status
        ended = replace(
            talked,
            id=call.token,
            sid=call.sid,
            caller=call.from_,
            called=call.to,
            status=result.status,
            ending_code=code,
            duration_s=talked.duration_s or float(result.duration_s),
            answered_by=result.answered_by,
            message_left=result.message_left,
            error=result.error,
            output=result.output,
            summary=call.summary,
            transcript=result.transcript,
            cost=result.cost,
            currency=result.currency,
        )
        self._on_end.call(ended)


def with_form(source: AgentSource, form: ResultForm | None) -> AgentSource:
    """Returns a copy of the agent (or of the function that selects the agent) with the tool `record_result`, which
    fills in the form. With `form` None, returns `source`.
    """
    return source if form is None else agent_for_call(source, {}, [form.tool()])


def model_names(config: RealtimeModelConfig, run_config: RealtimeRunConfig, *, is_openai: bool) -> ModelNames:
    """Returns the names of the models that a call with this configuration uses. `is_openai` is True if the speech model
    is OpenAI's.
    """
    if not is_openai:
        return ModelNames()
    settings = {**run_config.get("model_settings", {}), **config.get("initial_model_settings", {})}
    transcription = settings.get("input_audio_transcription", {"model": DEFAULT_TRANSCRIPTION_MODEL})
    name = transcription.get("model", "") if isinstance(transcription, dict) else ""
    return ModelNames(str(settings.get("model_name") or DEFAULT_MODEL), str(name))


def result_type(result: Any) -> ResultType | None:
    """Returns the type of the result of a call as a `ResultType`, or None if `result` is None. `result` is a pydantic
    model, a dataclass, a TypedDict, or the JSON schema of an object. Raises `UserError` for any other value.
    """
    if result is None:
        return None
    try:
        return ResultType(result)
    except UserError as error:
        raise UserError(f"create_app: {error}") from None
