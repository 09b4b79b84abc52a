"""Ready-made tools that ask the caller for a value: name, e-mail address, telephone number, postal address, date, date
of birth, or amount.

```python
agent = RealtimeAgent(name="Desk", tools=[capture_name(), capture_phone(region="GB"), capture_amount(store="price")])
```

The model passes the words of the caller to the tool. A deterministic parser (`spoken_values`) finds the value in the
words, and the model reads the value back. After a yes of the caller, `call.data[store]` has the value. After two
failures the caller types the value, if the value can be typed on a telephone. With `secret=True` the caller always
types the value. Then neither a record nor the model gets the value or the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from realtime_core import FunctionTool

from .call.call import Call
from .spoken_values import address, amount, birth_date, day, email, name, phone
from .tools import call_tool

__all__ = [
    "capture_address",
    "capture_amount",
    "capture_birth_date",
    "capture_date",
    "capture_email",
    "capture_name",
    "capture_phone",
]

_FAILURES = 2
_SPELL = {"@": "at", ".": "dot", "-": "dash", "_": "underscore", "+": "plus"}


def capture_name(*, store: str = "name") -> FunctionTool:
    """Returns the tool `capture_name`, with which the model asks for the name of the caller. The model reads the name
    back letter by letter. The confirmed value is stored as `call.data[store]`.
    """
    return _capture("name", store, "the caller's name, spelled if it is unusual", lambda said, _: name(said), _spelled)


def capture_email(*, store: str = "email") -> FunctionTool:
    """Returns the tool `capture_email`, with which the model asks for an e-mail address. The model reads the address
    back letter by letter. The confirmed value is stored as `call.data[store]`.
    """
    return _capture("email", store, "an e-mail address", lambda said, _: email(said), _spelled)


def capture_phone(*, region: str = "US", store: str = "phone", secret: bool = False) -> FunctionTool:
    """Returns the tool `capture_phone`, with which the model asks for a phone number. `region` is the country (ISO
    3166) of numbers that the caller says without a country code. The value is stored as `call.data[store]` in E.164.

    With `secret`, the caller must type the number. The model does not get the number, and does not read it back.
    """
    parse = lambda said, language="en": phone(said, region, language)  # noqa: E731
    return _capture("phone", store, "a phone number", parse, _digits, keys=parse, n_keys=15, secret=secret)


def capture_address(*, store: str = "address") -> FunctionTool:
    """Returns the tool `capture_address`, with which the model asks for a postal address: street, number, postal code
    and town, in one text. The model reads the address back. The confirmed value is stored as `call.data[store]`.
    """
    return _capture("address", store, "a postal address", address, str)


def capture_date(*, store: str = "date", today: Callable[[], date] = date.today) -> FunctionTool:
    """Returns the tool `capture_date`, with which the model asks for a date. A date without a year is the next such
    date from `today()` on. The model reads the date back. The confirmed value is stored as `call.data[store]`, a
    `datetime.date`.
    """
    read = lambda said, language: day(said, today=today(), language=language)  # noqa: E731
    return _capture("date", store, "a date", read, _long_date, keys=_typed_date, n_keys=8, typed_as=_EIGHT)


def capture_birth_date(
    *, store: str = "birth_date", secret: bool = False, today: Callable[[], date] = date.today
) -> FunctionTool:
    """Returns the tool `capture_birth_date`, with which the model asks for a date of birth. The value is stored as
    `call.data[store]`, a `datetime.date`. `today` returns the current date.

    With `secret`, the caller must type the date. The model does not get the date, and does not read it back.
    """
    read = lambda said, language: birth_date(said, today=today(), language=language)  # noqa: E731
    return _capture(
        "birth_date", store, "a date of birth, with the year", read, _long_date,
        keys=lambda keys: birth_date(_typed_date(keys).isoformat(), today=today()), n_keys=8, typed_as=_EIGHT,
        secret=secret,
    )  # fmt: skip


def capture_amount(*, store: str = "amount", currency: str = "") -> FunctionTool:
    """Returns the tool `capture_amount`, with which the model asks for an amount of money. Only amounts in `currency`
    (ISO 4217) are accepted. If `currency` is empty, every currency is accepted. The model reads the amount back. The
    confirmed value is stored as `call.data[store]`, a `Decimal`.
    """

    def read(said: str, language: str) -> Decimal:
        value, found = amount(said, language)
        if currency and found and found != currency:
            raise ValueError(f"Only amounts in {currency} are possible. Ask for one.")
        return value

    return _capture(
        "amount", store, "an amount of money", read, lambda value: f"{value} {currency}".strip(),
        keys=lambda keys: Decimal(keys.replace("*", ".")).quantize(Decimal("0.01")), n_keys=10,
        typed_as="in figures, with a star for the point",
    )  # fmt: skip


_EIGHT = "with eight digits: day, month and year"


def _capture(
    kind: str,
    store: str,
    what: str,
    read: Callable[[str, str], Any],
    read_back: Callable[[Any], str],
    *,
    keys: Callable[[str], Any] | None = None,
    n_keys: int = 0,
    typed_as: str = "",
    secret: bool = False,
) -> FunctionTool:
    """Returns a tool that captures one value. `keys` parses the keys that the caller types. `read_back` returns the
    words with which the model reads the value back.
    """

    async def by_keys(call: Call) -> str:
        assert keys is not None
        ask = f"Ask the caller to type {what} on the keypad {typed_as}, and then the hash key.".replace(" ,", ",")
        if secret:
            async with call.secret():
                typed = await call.collect_digits(ask, max_digits=n_keys)
        else:
            typed = await call.collect_digits(ask, max_digits=n_keys)
        try:
            value = keys(typed.value)
        except (ValueError, ArithmeticError):
            return f"What was typed is not {what}. Ask whether the caller wants to try again."
        call.data[store] = value
        if secret:
            return "The value is stored. You do not get it."
        return f"Typed and stored. Read it back: {read_back(value)}"

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        state: dict[str, Any] = call.data.setdefault(f"capture {store}", {"failures": 0})
        if secret:
            return await by_keys(call)
        if arguments.get("confirmed") and "value" in state:
            call.data[store] = state.pop("value")
            return "It is stored."
        if state["failures"] >= _FAILURES and keys is not None:
            state["failures"] = 0
            return await by_keys(call)
        try:
            state["value"] = read(str(arguments.get("said") or "")[:500], call.language)
        except ValueError as error:
            state["failures"] += 1
            return str(error)
        state["failures"] += 1  # until the caller has said yes
        said = read_back(state["value"])
        return f"Read this back and ask whether it is right: {said}. After a yes, call this tool with confirmed=true."

    properties: dict[str, Any] = {}
    if not secret:
        properties = {
            "said": {"type": "string", "description": f"What the caller said for {what}, word by word and unchanged."},
            "confirmed": {"type": "boolean", "description": "True after the caller has confirmed what you read back."},
        }
    return call_tool(f"capture_{kind}", f"Take {what} from the caller. Ask for it first.", properties, do)


def _spelled(value: str) -> str:
    letters = ", ".join(_SPELL.get(c, "space" if c == " " else c.upper()) for c in value)
    return f"{value} (spelled: {letters})"


def _digits(value: str) -> str:
    return " ".join(value)


def _long_date(value: date) -> str:
    return f"{value:%A}, {value.day} {value:%B %Y}"


def _typed_date(keys: str) -> date:
    if len(keys) != 8 or not keys.isdigit():
        raise ValueError("eight digits are needed")
    return date(int(keys[4:]), int(keys[2:4]), int(keys[:2]))
