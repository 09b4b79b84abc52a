"""The signature check, against Twilio's own vector and those of the documented forms."""

from __future__ import annotations

import pytest

from telephony.twilio.signature import is_signed
from telephony.urls import public_address, websocket_address

FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("wss://example.com/media-stream", {}, "XFfwGS2Ev7f9qAP9MmRoMS7C724="),
        ("wss://example.com/media-stream/", {}, "7J0iz81itFhCXVuZK8EmM4YZwLA="),
        ("wss://example.com:443/media-stream", {}, "55OA2CdDEK8djZDRLLS9pHUR+JI="),
    ],
)
def test_vectors(url: str, form: dict[str, str], signature: str) -> None:
    assert is_signed("12345", url, form, signature)
    assert not is_signed("12346", url, form, signature)
    assert not is_signed("12345", url, form, ("A" if signature[0] != "A" else "B") + signature[1:])
    assert not is_signed("12345", url.replace("example", "examp1e").replace("mycompany", "mycompani"), form, signature)


@pytest.mark.parametrize("url", ["https://host:port/x", "https://[::1]/x", "", "nonsense"])
@pytest.mark.parametrize("signature", [None, "", "x", "ä", "====", "\x00"])
def test_what_the_validator_stumbles_over_is_a_no(url: str, signature: str | None) -> None:
    assert not is_signed("12345", url, {}, signature)


def test_addresses_come_from_the_public_url() -> None:
    assert public_address("https://a.example/x/", "/incoming-call", "b=1") == "https://a.example/x/incoming-call?b=1"
    assert websocket_address("https://a.example/x", "/media-stream") == "wss://a.example/x/media-stream"
    assert websocket_address("http://127.0.0.1:8000", "/media-stream") == "ws://127.0.0.1:8000/media-stream"
