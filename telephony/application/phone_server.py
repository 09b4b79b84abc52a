"""Builds the phone server of an application, and connects its parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ..call.options import CallOptions
from ..call.ports import PhoneControl
from ..call.registry import Registry
from ..call.simulation import Simulation
from ..journal.format import Journal
from ..journal.journals import Journals
from ..metrics import Metrics
from ..outbound.do_not_call import DoNotCall, dialing_rules_of
from ..outbound.keypad_opt_out import KeypadOptOut
from ..outbound.opt_out_list import OptOutList
from ..records.client import RecordsClient
from ..records.subjects import SubjectKey
from ..settings import Settings
from ..web.authentication import Authenticator
from ..web.budgets import Budgets
from ..web.call_outcomes import CallOutcomes
from ..web.call_records import CallRecords
from ..web.calls_elsewhere import CallsElsewhere
from ..web.canaries import Canaries
from ..web.hooks import Hooks
from ..web.limits import CallLimits, Limits
from ..web.live_numbers import LiveNumbers
from ..web.loop_lag import LoopLag
from ..web.observed_call import Display
from ..web.phone_server import PhoneServer
from ..web.routing import Agents, Routing
from ..web.stream_admission import StreamAdmission
from ..web.twilio_prices import TwilioPrices
from ..web.voicemails import Voicemails

__all__ = ["build_phone_server"]

_REATTACH_S = 10.0
"""The time in seconds for which a call waits for a new media stream. Twilio sends the next webhook when it detects a
lost stream, and the new stream needs one or two seconds more.
"""


def build_phone_server(
    agents: Agents | None,
    settings: Settings,
    options: CallOptions,
    *,
    control: PhoneControl | None,
    client: RecordsClient,
    journals: Journals,
    subjects: SubjectKey,
    outcomes: Callable[[CallRecords], CallOutcomes],
    metrics: Metrics,
    display: Callable[[], Display],
    tee: Callable[[str, Journal], Journal],
    numbers: LiveNumbers | None = None,
) -> PhoneServer:
    """Creates the phone server of an application from the parts that it uses.

    Args:
        agents: The agent, or the agents by called number, as for `create_app`.
        settings: The settings of the application.
        options: The application's options for its calls.
        control: The client of Twilio's REST API, or None without credentials.
        client: The client of the database with the call records.
        journals: The journals of the calls.
        subjects: The key with which phone numbers are hashed.
        outcomes: A function that returns the object for the results and summaries of calls.
        metrics: The counters of the process.
        display: A function that returns a new `Display`, which shows one live call to operators.
        tee: A function that wraps the journal of a live call, so web pages can also follow the call. The arguments are
            the CallSid and the journal, and the result is the journal to write to.
        numbers: The configured numbers. None if there is no numbers file.
    """
    sources = options.sources
    instance = settings.telephony_instance or sources.token(4)
    registry = Registry(settings.telephony_max_calls, lambda: journals.takes_calls)
    hooks = Hooks.of(registry)
    limits = Limits(_caps(settings))
    where = journals.reference
    call_records = CallRecords(client, settings, instance, sources, subjects=subjects, journal_of=where)
    authenticator = Authenticator(settings, on_refused=metrics.request_refused)
    simulation = Simulation()
    rules = dialing_rules_of(settings)
    opt_outs = OptOutList(
        client,
        subjects,
        sources,
        file=rules.do_not_call if isinstance(rules.do_not_call, DoNotCall) else None,
        simulation=simulation if settings.is_simulation else None,
    )
    key = settings.telephony_opt_out_key
    phone = PhoneServer(
        settings=settings,
        routing=Routing(agents),
        registry=registry,
        limits=limits,
        authenticator=authenticator,
        stream_admission=StreamAdmission(settings, registry, sources, client=client, limits=limits, calls=hooks),
        metrics=metrics,
        lag=LoopLag(metrics.loop_lag),
        instance=instance,
        hooks=hooks,
        call_records=call_records,
        calls_elsewhere=CallsElsewhere(client, settings, instance, sources),
        opt_outs=opt_outs,
        budgets=Budgets(settings, client, subjects.of, sources),
        outcomes=outcomes(call_records),
        journals=journals,
        prices=TwilioPrices(call_records, metrics.twilio_cost),
        control=control,
        sources=sources,
        defaults=options,
        simulation=simulation,
        dialing_rules=rules,
        keypad=None if key is None else KeypadOptOut(key),
        display=display,
    )
    phone.numbers = authenticator.accounts = numbers
    if numbers is not None:
        phone.stream_admission.has_account = numbers.has_account
    phone.canaries = Canaries(None, client=client, subject_of=subjects.of, sources=sources)
    phone.voicemails = Voicemails(
        call_records,
        journals,
        sources,
        phone.recording_source,
        keeps_audio=not settings.telephony_redact_audio,
    )
    phone.defaults = replace(
        options,
        journal=lambda info: tee(info.sid, journals.open(info.sid)),
        admit=phone.stream_admission.admit,
        control=control,
        reattach_s=_REATTACH_S,
        apology=settings.telephony_apology,
        own_number=settings.twilio_phone_number,
        fallback=settings.telephony_fallback_number,
        cpu_clock=time.process_time,
        followed=phone.calls_elsewhere.followed,
        on_stream=phone.call_records.stream,
        on_refused=phone.call_records.refused,
        on_consent=phone.call_records.consent,
        on_failure=metrics.application_failed,
        opt_outs=opt_outs,
    )
    return phone


def _caps(settings: Settings) -> CallLimits:
    """Returns the limits for calls. If calls can come only from this machine, only their number is limited, because
    such calls cost nothing.
    """
    if not settings.can_be_rung:
        return CallLimits(settings.telephony_max_calls)
    return CallLimits(
        settings.telephony_max_calls,
        per_caller_hour=settings.telephony_calls_per_caller_hour,
        withheld_hour=settings.telephony_withheld_calls_per_hour,
        minutes_per_day=settings.telephony_minutes_per_day,
    )
