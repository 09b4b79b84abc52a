"""Implements `telephony tokens`: creates, lists and revokes the tokens of the console."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ..records.access import Scope
from ..text_encoding import visible
from .errors import USAGE, CliError, reporting

if TYPE_CHECKING:
    from datetime import datetime

    from ..records.access import AccessStore, StoredToken

__all__ = ["app"]

app = typer.Typer(help="Manage the tokens of the console.", no_args_is_help=True, rich_markup_mode=None)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="The user of the token, such as a person or a wall screen.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the token permits. Can be repeated.", show_default="view"),
    ] = None,
    number: Annotated[
        list[str] | None,
        typer.Option(help="Only calls of this number of the application, like +14155550100. Can be repeated.",
                     show_default="all"),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="The token expires after this number of days.", show_default="never")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Create a token and print it. The token is printed only once, because the records contain only its hash."""
    from realtime_core.sources import SYSTEM

    from ..records.access import Action, StoredToken, hash_secret, token_text
    from ..twilio.numbers import e164
    from .auditing import audit

    with reporting(verbose=False):
        if not name.strip() or len(name) > 100 or visible(name) != name:
            raise CliError(
                "The name is empty, has more than 100 characters, or has a line break or another control character.",
                "Write another one.",
                code=USAGE,
            )
        try:
            numbers = frozenset(e164(each) for each in number or ())
        except ValueError as error:
            raise CliError(f"--number: {error}.", "Write it like +14155550100.", code=USAGE) from None
        now, secret = SYSTEM.now(), SYSTEM.token(32)
        token = StoredToken(
            id=SYSTEM.token(8),
            name=name.strip(),
            secret_hash=hash_secret(secret),
            scopes=frozenset(scope or [Scope.VIEW]),
            numbers=numbers,
            created_at=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        with _store() as store:
            audit(store, now, Action.CREATE_TOKEN, f"{token.name} ({token.id}): {_scopes(token)}")
            store.add_token(token)
        text = token_text(token.id, secret)
        typer.echo(jsonlib.dumps(_shown(token) | {"token": text}) if json else text)


@app.command("list")
def list_tokens(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the access tokens of the console, the oldest first."""
    from realtime_core.sources import SYSTEM

    with reporting(verbose=False):
        with _store() as store:
            found = store.tokens()
        if json:
            typer.echo(jsonlib.dumps([_shown(each) for each in found], indent=1))
            return
        for each in found:
            numbers = ", ".join(sorted(each.numbers)) or "all numbers"
            state = "revoked" if each.revoked_at else "valid" if each.is_valid(SYSTEM.now()) else "ended"
            name = visible(each.name)
            typer.echo(f"{each.id}  {each.created_at:%Y-%m-%d}  {state:<7}  {_scopes(each)}  {numbers}  {name}")


@app.command("revoke")
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID", help="The id in the list.")]) -> None:
    """Revoke a token, and end the logins that began with the token. Open pages are disconnected within seconds."""
    from realtime_core.sources import SYSTEM

    from ..records.access import Action
    from .auditing import audit

    with reporting(verbose=False):
        now = SYSTEM.now()
        with _store() as store:
            token = next((each for each in store.tokens() if each.id == token_id), None)
            if token is None or token.revoked_at is not None:
                raise CliError(f"There is no valid token {token_id!r}.", "`telephony tokens list` shows them.")
            audit(store, now, Action.REVOKE_TOKEN, f"{token.name} ({token.id})")
            store.revoke_token(token_id, now)
        typer.echo(f"The token of {token.name} is revoked.")


def _shown(token: StoredToken) -> dict[str, object]:
    def date(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "id": token.id,
        "name": token.name,
        "scopes": [each.value for each in Scope if each in token.scopes],
        "numbers": sorted(token.numbers),
        "created_at": date(token.created_at),
        "expires_at": date(token.expires_at),
        "revoked_at": date(token.revoked_at),
    }


def _scopes(token: StoredToken) -> str:
    return ",".join(each.value for each in Scope if each in token.scopes)


@contextmanager
def _store() -> Iterator[AccessStore]:
    from ..records.opening import open_records
    from ..settings import load_settings

    records = open_records(load_settings())
    if records is None:
        raise CliError("There is no database.", "Set DATABASE_URL or TELEPHONY_DATA_DIR.")
    with closing(records):
        yield records.access
