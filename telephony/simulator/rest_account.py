"""Endpoints of the simulated Twilio REST API for the account, its numbers and its permissions.

https://www.twilio.com/docs/iam/api/account, https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
https://www.twilio.com/docs/voice/api/dialingpermissions-country-resource
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import phonenumbers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import resources
from .documented_parameters import Form
from .parameters import Refused
from .rest_forms import not_found, page

if TYPE_CHECKING:
    from .account import SimulatedAccount

__all__ = ["AccountApi", "check_reach"]

REGIONS = ("us1", "ie1", "au1")


def check_reach(twilio: SimulatedAccount, to: str) -> None:
    """Checks that the simulated account may call the number `to`. Raises `Refused` if the call is not allowed."""
    if twilio.trial and to not in twilio.verified_numbers:
        raise Refused(400, 21219, f"The number {to} is unverified. Trial accounts may only call verified numbers.")
    if to.startswith("+") and phonenumbers.region_code_for_number(phonenumbers.parse(to)) in twilio.barred_countries:
        raise Refused(400, 21215, f"Account not authorized to call {to}. Perhaps you need to enable geo permissions.")


class AccountApi:
    def __init__(self, twilio: SimulatedAccount) -> None:
        self._twilio = twilio

    async def account(self, request: Request, form: Form) -> Response:
        twilio = self._twilio
        kind = "Trial" if twilio.trial else "Full"
        return JSONResponse(
            {"sid": twilio.account_sid, "status": twilio.account_status, "type": kind, "friendly_name": "Simulated"}
        )

    async def fetch_application(self, request: Request, form: Form) -> Response:
        sid = request.path_params["sid"]
        if sid not in self._twilio.applications:
            raise not_found(request)
        return JSONResponse(resources.application(sid, self._twilio.applications[sid], self._twilio.account_sid))

    async def list_caller_ids(self, request: Request, form: Form) -> Response:
        found = [resources.caller_id(it, self._twilio.account_sid) for it in sorted(self._twilio.verified_numbers)]
        return page(request, "outgoing_caller_ids", found)

    async def fetch_permission(self, request: Request, form: Form) -> Response:
        country = request.path_params["country"]
        enabled = country not in self._twilio.barred_countries
        return JSONResponse(resources.dialing_permission(country, enabled=enabled))

    # --- numbers ---------------------------------------------------------------------------------------------------

    async def list_numbers(self, request: Request, form: Form) -> Response:
        wanted = request.query_params.get("PhoneNumber", "")
        account = self._twilio.account_sid
        found = [it for it in self._twilio.numbers.values() if wanted in ("", it.phone_number)]
        return page(request, "incoming_phone_numbers", [resources.number(it, account) for it in found])

    async def fetch_number(self, request: Request, form: Form) -> Response:
        return JSONResponse(resources.number(self._number(request), self._twilio.account_sid))

    async def update_number(self, request: Request, form: Form) -> Response:
        it = self._number(request)
        for name, values in form.items():
            if name in resources.OwnedNumber.FIELDS:
                setattr(it, _snake(name), values[0])
        return JSONResponse(resources.number(it, self._twilio.account_sid))

    async def fetch_region(self, request: Request, form: Form) -> Response:
        it = self._twilio.numbers.get(request.path_params["number"])
        if it is None:
            raise not_found(request)
        return JSONResponse(resources.region(it, self._twilio.account_sid))

    async def update_region(self, request: Request, form: Form) -> Response:
        region = form.get("VoiceRegion", ["us1"])[0]
        if region not in REGIONS:
            raise Refused(400, 20001, f"Unknown region {region}")
        if (it := self._twilio.numbers.get(request.path_params["number"])) is not None:
            it.voice_region = region
        return await self.fetch_region(request, form)

    def _number(self, request: Request) -> resources.OwnedNumber:
        for it in self._twilio.numbers.values():
            if it.sid == request.path_params["sid"]:
                return it
        raise not_found(request)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
