"""The ASGI application: `create_app` puts the endpoints and the parts of the server together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from realtime_core import RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.sources import SYSTEM, Sources

from ..agent_choice import check_agent
from ..audio.files import Clip, load_ulaw, load_words
from ..audio.noise_suppression import NoiseSuppressor
from ..call.consent import ConsentSource
from ..call.options import AgentSource, CallOptions, ModelConfigSource
from ..call.pacing.policy import CallPolicy
from ..call.ports import PhoneControl
from ..call.screening import Screening
from ..console.access import Access, console_error
from ..console.board import Board
from ..console.console import Console
from ..console.feed import Feeds
from ..console.live_calls import call_elsewhere
from ..console.recordings import Recordings
from ..console.single_sign_on import check_extra
from ..cost import PriceList
from ..errors import CallElsewhere, ConsoleError, NotStarted, TwilioNotConfigured
from ..journal.journals import Journals
from ..journal.stored_journals import StoredJournals, purge_daily
from ..journal.uploads import JournalUploads
from ..metrics import Metrics
from ..numbers.config import MAIN, Account, NumbersConfig
from ..outcomes.on_end import OnEnd, OnEndCallback
from ..records import Records
from ..records.client import RecordsClient
from ..records.opening import open_records
from ..records.subjects import subject_key
from ..settings import Settings, load_settings
from ..tracing import Tracing, global_provider, otlp_provider
from ..twilio.rest import TwilioRest
from ..versions import Canary
from ..web import error_responses, webhooks
from ..web.background import keep_running
from ..web.call_clearance import CallClearance
from ..web.call_outcomes import CallOutcomes, model_names, result_type
from ..web.calls_api import open_dialer
from ..web.canaries import Canaries
from ..web.draining import drained_by_signals
from ..web.live_numbers import LiveNumbers
from ..web.middleware import HeadLimits, MountPath
from ..web.missed_calls import MissedCalls
from ..web.number_accounts import load_agent, reloaded_by_signal, rest_of
from ..web.number_book import LoadAgent, build_book, load_book
from ..web.phone_server import PhoneServer
from ..web.routing import Agents, Routing
from ..webhooks.sender import WebhookSender
from .arguments import by_called_number, check_arguments
from .campaigns import enter_campaign_dialer, find_campaigns
from .model import find_model_config, find_run_config, find_text_model, is_openai
from .phone_server import build_phone_server
from .routes import routes

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


__all__ = ["create_app"]

log = logging.getLogger(__name__)


def create_app(
    agent: Agents | None = None,
    *,
    numbers: NumbersConfig | Path | str | None = None,
    greeting: str | Clip | None = None,
    settings: Settings | None = None,
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None,
    model_config: RealtimeModelConfig | ModelConfigSource | None = None,
    run_config: RealtimeRunConfig | None = None,
    policy: CallPolicy | None = None,
    ambience: Clip | None = None,
    noise_suppression: bool = False,
    data: Mapping[str, Any] | None = None,
    outgoing: Mapping[str, AgentSource] | None = None,
    result: Any = None,
    consent: ConsentSource | None = None,
    screening: Screening | None = None,
    canary: Canary | Mapping[str, Canary] | None = None,
    on_end: OnEndCallback | None = None,
    tracer_provider: TracerProvider | None = None,
    rest: TwilioRest | None = None,
    account_rest: Callable[[Account], TwilioRest | None] | None = None,
    agent_loader: LoadAgent = load_agent,
    sources: Sources = SYSTEM,
) -> Starlette:
    """Returns a Starlette application that answers the phone with `agent`.

    Args:
        agent: A `RealtimeAgent`, a function `(CallInfo) -> RealtimeAgent` (or a coroutine function) that selects an
            agent, or a mapping from called numbers to such values. With a mapping, a caller of any other number hears
            that the number is not in service. With None, only the numbers of `numbers` are answered.
        numbers: The configuration of numbers: a `NumbersConfig`, or the path of its file. The file is read again when
            it changes. Numbers that are not configured are answered by `agent`.
        greeting: Instructions for the first response, like "Greet the caller", or a clip: an audio file (its path or
            bytes), or mu-law at 8 kHz. With None, the caller speaks first.
        settings: The settings. With None, the settings are read from the environment when the application starts.
        model: A model, or a function that returns a model. Default: OpenAI's model, or the embedded model if no account
            is configured and only this machine can call.
        model_config: The configuration of the connection to the model, or a function `(CallInfo) ->
            RealtimeModelConfig` (or a coroutine function) that returns the configuration for each call, such as another
            key or a `safety_identifier`.
        run_config: The configuration of the session.
        policy: The pacing of calls: silence prompts, limits and farewells.
        ambience: A background clip that plays in a loop, also under the agent's voice.
        noise_suppression: Whether noise in the caller's audio is removed before the model gets the audio. Needs the
            extra `noise`.
        data: The initial content of `data` of each call.
        result: The type of the result of inbound calls: a pydantic model, a dataclass, a TypedDict, or the JSON schema
            of an object. The agent fills in the result with the tool `record_result`, and the result is validated.
        consent: The consent policy of all calls (`Consent`), a mapping from called numbers to policies, or a function
            `(CallInfo) -> Consent | None`. With None, calls are recorded from their start.
        screening: The rules about unwanted callers, callers who say nothing, and emergencies (`Screening`).
        canary: A new version of the agent for a part of the callers (`Canary`), for all numbers or for each called
            number.
        on_end: A function that is called with an `EndedCall` after each call, inbound or placed. A coroutine function
            runs on the event loop, a plain function runs in a thread. Failures of the function are logged.
        tracer_provider: The OpenTelemetry provider for the traces of calls. Default: the provider of the process, or a
            provider for `OTEL_EXPORTER_OTLP_ENDPOINT`. Without both, there are no traces.
        outgoing: The agents that a request to `POST /calls` may name. Without a name, `agent` speaks.
        rest: The client of Twilio's REST API. Default: a client with the credentials of the settings. The client is
            closed together with the application.
        account_rest: A function that returns the client for a further account of `numbers`. Default: a client with the
            keys that the entry of the account names.
        agent_loader: A function that returns the agent of an import string of `numbers`. Default: the agent is
            imported.

    Raises:
        AudioFileError: a clip is empty or has an unknown format.
        SettingsError: `noise_suppression` needs an extra that is not installed, or the settings are invalid. The second
            case is raised when the application starts.
        UserError: an argument has a wrong type, such as a value that is no agent. `result` cannot be validated in
            linear time. A called number in `consent` is invalid.
    """
    check_arguments(locals())
    Routing(agent)  # so that a value that is no agent is reported now
    for name, source in (outgoing or {}).items():
        check_agent(source, f"create_app: outgoing[{name!r}]")
    consent = by_called_number(consent)
    wanted = result_type(result)
    greeting = None if greeting is None else load_words(greeting, "greeting")
    ambience = None if ambience is None else load_ulaw(ambience, "ambience")
    if noise_suppression:
        NoiseSuppressor()  # so that a missing library is reported now
    per_call, for_all = (model_config, None) if callable(model_config) else (None, model_config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            loaded = settings if settings is not None else load_settings()
            options = CallOptions(
                greeting=greeting,
                model=model,
                model_config=await find_model_config(loaded, model, for_all, stack),
                call_model_config=per_call,
                run_config=find_run_config(loaded, run_config),
                policy=policy or CallPolicy(),
                ambience=ambience,
                noise_suppression=noise_suppression,
                data=data or {},
                consent=consent,
                screening=screening,
                sources=sources,
            )
            check_extra(loaded)
            client = await stack.enter_async_context(RecordsClient(_records(loaded, sources), sources=sources))
            subjects = subject_key(loaded, sources)
            await client.check_key(subjects)
            if (sender := WebhookSender.of(loaded, client, sources)) is not None:
                await stack.enter_async_context(sender)
            control = _control(loaded, rest, stack)
            journals = await stack.enter_async_context(Journals.of(loaded))
            metrics = Metrics()
            if sender is not None:
                sender.observe(metrics.webhook_attempt, lambda waiting: metrics.webhooks(waiting, sources.now()))
            observers = [metrics.rest_request]
            observe = partial(_observe, observers)
            if isinstance(control, TwilioRest):
                observe(control)
            prices = PriceList(loaded.telephony_model_prices, base_url=loaded.openai_base_url)
            models = model_names(options.model_config, options.run_config, is_openai=is_openai(loaded, model, for_all))
            if models.speech:
                await asyncio.to_thread(prices.load)
            callbacks_after = await stack.enter_async_context(OnEnd(on_end, metrics.application_failed))
            board, feeds = Board(sources), Feeds()
            phone = app.state.phone = build_phone_server(
                agent,
                loaded,
                options,
                control=control,
                client=client,
                journals=journals,
                subjects=subjects,
                numbers=await _numbers(loaded, numbers, account_rest, agent_loader, observe, stack),
                outcomes=lambda call_records: CallOutcomes(
                    result=wanted,
                    on_end=callbacks_after,
                    text_model=find_text_model(loaded),
                    prices=prices,
                    models=models,
                    records=call_records,
                    journal_of=journals.reference,
                    sources=sources,
                ),
                metrics=metrics,
                display=board.display,
                tee=feeds.tee,
            )
            access = Access(loaded, phone.authenticator, client, sources)
            console = Console(phone, access, board, feeds, Recordings(journals.storage))
            app.state.console = console
            await phone.opt_outs.load()
            stack.push_async_callback(phone.outcomes.close)
            stack.push_async_callback(phone.voicemails.close)
            phone.canaries = Canaries(
                canary,
                client=client,
                subject_of=subjects.of,
                sources=sources,
                model=models.speech,
                config=options.run_config,
            )
            stack.push_async_callback(phone.canaries.close)
            phone.outgoing = outgoing or {}
            phone.tracing = _tracing(loaded, tracer_provider, sources, models.speech, stack)
            if phone.tracing is not None:
                observers.append(phone.tracing.rest_request)
            await stack.enter_async_context(phone.registry)
            await stack.enter_async_context(console.running())
            if phone.keypad is not None:
                await stack.enter_async_context(phone.keypad)
            if (campaigns := find_campaigns(phone)) is not None:
                from ..campaigns.ring_back import RingBack

                phone.campaigns = campaigns
                phone.ring_back = await stack.enter_async_context(RingBack(campaigns.ask, sources))
            if (dialer := open_dialer(phone)) is not None:
                dialer.clearance = CallClearance(phone.budgets, phone.opt_outs, client, subjects, sources)
                dialer.on_news, dialer.is_taken = phone.placed_call_changed, phone.calls_elsewhere.is_taken
                dialer.text_model = find_text_model(loaded)
                campaign_dialer = await enter_campaign_dialer(phone, dialer, stack)
                app.state.dialer = await stack.enter_async_context(dialer)
                if campaign_dialer is not None:
                    campaign_dialer.start()
            if loaded.telephony_allow_unsigned and not loaded.checks_signatures:
                log.warning("TELEPHONY_ALLOW_UNSIGNED is set: anyone who finds this address can call at your cost.")
            async with asyncio.TaskGroup() as group:
                background = await _background_tasks(phone, journals, loaded, control)
                tasks = [group.create_task(keep_running(name, work), name=name) for name, work in background.items()]
                phone.ready = True
                with drained_by_signals(phone), reloaded_by_signal(phone.numbers):
                    yield
                phone.registry.draining = True
                for task in tasks:
                    task.cancel()

    app = Starlette(
        routes=routes(),
        lifespan=lifespan,
        middleware=[Middleware(HeadLimits), Middleware(MountPath)],
        exception_handlers={
            404: error_responses.no_such_address,
            405: error_responses.no_such_address,
            CallElsewhere: call_elsewhere,
            ConsoleError: console_error,
            NotStarted: error_responses.NotStartedAnswer(settings),
            Exception: webhooks.failed,
        },
    )
    app.router.default = error_responses.unknown_path
    app.router.redirect_slashes = False  # the signature contains the exact address, which is unknown behind a proxy
    return app


async def _numbers(
    settings: Settings,
    given: NumbersConfig | Path | str | None,
    account_rest: Callable[[Account], TwilioRest | None] | None,
    agent_loader: LoadAgent,
    observe: Callable[[TwilioRest], None],
    stack: AsyncExitStack,
) -> LiveNumbers | None:
    """Returns the configured numbers. Raises `NumbersFileError`."""
    given = settings.telephony_numbers if given is None else given
    if given is None:
        return None
    path = None if isinstance(given, NumbersConfig) else Path(given)
    if isinstance(given, NumbersConfig):
        book = await asyncio.to_thread(build_book, given, agent_loader)
    else:
        book = await asyncio.to_thread(load_book, Path(given), agent_loader)
    make_rest = account_rest or partial(rest_of, base_url=settings.telephony_twilio_api_url)

    def observed(account: Account) -> TwilioRest | None:
        if (rest := make_rest(account)) is not None:
            observe(rest)
        return rest

    numbers = LiveNumbers(book, settings, path=path, load_agent=agent_loader, make_rest=observed)
    stack.callback(numbers.close)
    return numbers


async def _background_tasks(
    phone: PhoneServer, journals: Journals, settings: Settings, control: PhoneControl | None
) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """Returns the tasks that run as long as the server, by their names."""
    tasks = {
        "loop lag": phone.lag.watch,
        "do-not-call list": phone.opt_outs.watch,
        "prices of Twilio": phone.prices.run,
    }
    if journals.folder is not None:
        tasks["journals"] = partial(journals.watch, phone.metrics.journals)
        if journals.storage is not None:
            uploads = JournalUploads(
                journals.folder,
                journals.storage,
                keeps_local=settings.telephony_journal_keep_local,
                ended=journals.ended,
                on_attempt=phone.metrics.journal_upload,
                on_waiting=phone.metrics.journals_unsent,
            )
            tasks["copies of journals"] = uploads.run
    if settings.purges_journals and (folder := settings.telephony_journal_dir) is not None:
        stored = StoredJournals(folder, journals.storage)
        tasks["old journals"] = partial(purge_daily, stored, settings.telephony_journal_days, phone.sources)
    if phone.numbers is not None:
        tasks["numbers"] = phone.numbers.watch
        if isinstance(control, TwilioRest) and phone.call_records.client.database is not None:
            missed = _missed_calls(phone, phone.numbers, control)
            await missed.begin()
            tasks["missed calls"] = missed.watch
    return tasks


def _missed_calls(phone: PhoneServer, numbers: LiveNumbers, control: TwilioRest) -> MissedCalls:
    return MissedCalls(
        phone.call_records.client,
        phone.call_records,
        phone.sources,
        clients=lambda: {MAIN: control, **numbers.clients},
        serves=numbers.serves,
    )


def _observe(observers: Sequence[Callable[[str, str, float], None]], rest: TwilioRest) -> None:
    """Calls each observer, also an observer that is added later, for each request of this client."""

    def on_request(action: str, code: str, seconds: float) -> None:
        for observer in observers:
            observer(action, code, seconds)

    rest.on_request = on_request


def _records(settings: Settings, sources: Sources) -> Records | None:
    """Returns the database of the records. A simulation in virtual time, which has a seed, leaves no file."""
    if sources.seed is not None and settings.database_url is None:
        return None
    return open_records(settings)


def _control(settings: Settings, rest: TwilioRest | None, stack: AsyncExitStack) -> PhoneControl | None:
    """Returns the client of Twilio's REST API, or None if it is not configured."""
    try:
        rest = rest or TwilioRest.of(settings)
    except TwilioNotConfigured:
        return None
    stack.callback(rest.close)
    return rest


def _tracing(
    settings: Settings, provider: TracerProvider | None, sources: Sources, model: str, stack: AsyncExitStack
) -> Tracing | None:
    endpoint = settings.otel_exporter_otlp_endpoint
    provider = provider or global_provider()
    if provider is None and endpoint is not None:
        provider, close = otlp_provider(endpoint)
        stack.push_async_callback(asyncio.to_thread, close)
    if provider is None:
        return None
    return Tracing(provider, sources, model=model, content=settings.telephony_trace_content)
