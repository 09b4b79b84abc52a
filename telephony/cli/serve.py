"""Implements `telephony serve`, the server that takes calls."""

from __future__ import annotations

import json as jsonlib
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import typer

from telephony.application.app import create_app
from telephony.demo.stubs import stubbed
from telephony.logs import configure_logs
from telephony.masking import Masker
from telephony.setting_values import misspelt
from telephony.settings import Settings, load_settings
from telephony.urls import websocket_address
from telephony.web.number_accounts import load_agent as load_numbers_agent
from telephony.web.server import serve

from ..import_strings import load_agent, load_agents
from .errors import USAGE, CliError
from .reload import run_reloading
from .temporary_webhook import TemporaryWebhook, temporary_webhook

__all__ = ["run_server"]

log = logging.getLogger(__name__)

DEMO_AGENT = "telephony.demo.agent:agent"


def run_server(
    agent: str | None,
    *,
    host: str | None,
    port: int | None,
    model: str | None,
    greeting: str,
    stub_tools: bool,
    json: bool,
    verbose: bool,
    phone: bool = False,
    outgoing: Sequence[str] = (),
    reload: bool = False,
    config: Path | None = None,
) -> None:
    """Runs the server at `host` and `port` until SIGINT or SIGTERM. `agent` is an import string, `model` is `openai` or
    `scripted`, and `config` is the numbers file. An argument that is None has the value of the settings. `outgoing` are
    import strings of agents for `POST /calls`. `greeting` has the instructions for the greeting. If it is empty, the
    caller speaks first.

    With `stub_tools`, the tools are replaced by stubs. With `phone`, the webhook of the phone number is set to this
    server while the server runs. With `reload`, the server starts again when a file changes. With `json`, prints one
    JSON line with the address when the server is ready. With `verbose`, more is logged.
    """
    if reload:
        if phone:
            raise CliError(
                "--reload and --phone exclude each other: each start would change the number's webhook.",
                "Run a tunnel, set PUBLIC_URL to its address, and run `telephony number set NUMBER` once.", code=USAGE,
            )  # fmt: skip
        settings = load_settings(host=host, port=port, telephony_model=model)
        arguments = [agent] if agent else []
        arguments += ["--greeting", greeting, *(["--model", model] if model else [])]
        arguments += ["--config", str(config)] if config else []
        arguments += [word for name in outgoing for word in ("--outgoing", name)]
        arguments += ["--stub-tools"] * stub_tools + ["--json"] * json + ["--verbose"] * verbose
        run_reloading(arguments, host=settings.host, port=settings.port)
        return
    overrides = {"host": host, "port": port, "telephony_model": model, "telephony_numbers": config}
    with temporary_webhook(overrides) if phone else nullcontext() as webhook:
        _serve(
            load_settings(**overrides), agent, webhook, outgoing,
            greeting=greeting, stub_tools=stub_tools, json=json, verbose=verbose,
        )  # fmt: skip


def _serve(
    settings: Settings,
    agent: str | None,
    webhook: TemporaryWebhook | None,
    outgoing: Sequence[str],
    *,
    greeting: str,
    stub_tools: bool,
    json: bool,
    verbose: bool,
) -> None:
    configure_logs(settings.log_level, settings.log_format, masker=Masker.of(settings))
    if verbose:
        for name in ("telephony", "realtime_core"):
            logging.getLogger(name).setLevel(logging.DEBUG)
    for name, cure in misspelt(os.environ, Settings.model_fields):
        log.warning("%s is not a setting. %s", name, cure)
    has_agent = agent is not None or settings.telephony_numbers is None
    agents = load_agents(agent or DEMO_AGENT)
    if stub_tools:
        agents = (
            {n: stubbed(source) for n, source in agents.items()} if isinstance(agents, Mapping) else stubbed(agents)
        )

    callers = {name: stubbed(load_agent(name)) if stub_tools else load_agent(name) for name in outgoing}
    if has_agent and not isinstance(agents, Mapping):
        callers[agent or DEMO_AGENT] = agents

    def listening(address: str) -> None:
        if json:
            typer.echo(jsonlib.dumps({"listening": address, "pid": os.getpid()}))
        else:
            typer.echo(
                f"Answering at {address}/incoming-call (webhook) and {websocket_address(address, '/media-stream')}. "
                "Ctrl-C stops."
            )
            needs_token = settings.public_url is not None and settings.telephony_api_token is None
            once = " (after you set TELEPHONY_API_TOKEN, because the server is public)" if needs_token else ""
            typer.echo(f"Call it from a browser: {address}/console/phone{once}")
            if settings.wants_script and not stub_tools:
                typer.echo(
                    "The embedded model calls each tool with invented arguments, and the tool runs. It does not call "
                    "tools that end or transfer the call. With --stub-tools no tool runs."
                )
        if webhook is not None:
            webhook.set()

    application = create_app(
        agents if has_agent else None,
        greeting=greeting or None,
        settings=settings,
        outgoing=callers,
        agent_loader=(lambda name: stubbed(load_numbers_agent(name))) if stub_tools else load_numbers_agent,
    )
    serve(
        application,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        max_calls=settings.telephony_max_calls,
        on_listening=listening,
        on_draining=None if webhook is None else webhook.restore,
    )
