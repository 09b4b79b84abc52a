"""The signature check, against Twilio's own vector and those of the documented forms."""

from __future__ import annotations

from typing import Any

import pytest

from telephony.twilio.signature import (
    SigningKeys,
    check,
    check_header,
    explain,
    is_signed,
    other_slash,
    sign,
    signed_for,
)
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


# --- the keys of an account ----------------------------------------------------------------------------------------

URL = "https://a.example/incoming-call"
TOKEN, SHARED = SigningKeys(auth_token="token"), SigningKeys(shared_key_secret="shared")
SHA256 = "algorithm=HMAC_SHA256"


@pytest.mark.parametrize(("keys", "settings"), [(TOKEN, None), (SHARED, SHA256)])
def test_a_request_that_is_signed_is_accepted_and_a_changed_one_is_not(keys: SigningKeys, settings: str | None) -> None:
    headers = sign(keys, URL, FORM)
    signature = headers["X-Twilio-Signature"]
    assert headers.get("X-Twilio-Webhooks-Signature-Settings") == settings
    assert check(keys, URL, FORM, signature, settings) is None
    assert check(keys, URL, {**FORM, "Digits": "9"}, signature, settings) == "mismatch"
    assert check(keys, URL + "x", FORM, signature, settings) == "mismatch"


def test_without_a_key_nothing_is_signed() -> None:
    assert sign(SigningKeys(), URL, FORM) == {}
    assert sign(SigningKeys("token", "shared"), URL, FORM) == sign(TOKEN, URL, FORM)


@pytest.mark.parametrize(
    ("keys", "signature", "settings", "fault"),
    [
        (TOKEN, None, None, "unsigned"),
        (TOKEN, "", SHA256, "unsigned"),
        (TOKEN, "x", "algorithm=MD5", "unknown algorithm"),
        (TOKEN, "x", SHA256, "no key"),
        (SHARED, "x", None, "no key"),
        (TOKEN, "x", None, None),
        (SHARED, "x", SHA256, None),
        (SHARED, "x", "algorithm=hmac_sha256", None),
    ],
)
def test_faults_of_the_headers(
    keys: SigningKeys, signature: str | None, settings: str | None, fault: str | None
) -> None:
    assert check_header(keys, signature, settings) == fault
    assert check(keys, URL, FORM, signature, settings) == (fault or "mismatch")


@pytest.mark.parametrize(
    ("fault", "settings", "other", "explanation"),
    [
        ("unsigned", None, None, f"it has no X-Twilio-Signature. URL: '{URL}'."),
        (
            "unknown algorithm",
            "algorithm=MD5",
            None,
            "its algorithm is not known: 'algorithm=MD5'. A newer version of the twilio package may support it.",
        ),
        ("no key", SHA256, None, "it is signed with a SharedKey: set TWILIO_SHARED_KEY_SECRET."),
        ("no key", None, None, "it is signed with the account's auth token: set TWILIO_AUTH_TOKEN."),
        (
            "mismatch",
            None,
            "https://b.example/",
            f"it is signed for 'https://b.example/', and PUBLIC_URL makes it '{URL}': correct one of the two.",
        ),
        (
            "mismatch",
            None,
            None,
            f"its signature does not fit '{URL}'. Is PUBLIC_URL exactly the address that Twilio has, and is "
            "TWILIO_AUTH_TOKEN that of the account (or subaccount) which owns the number?",
        ),
    ],
)
def test_each_fault_is_explained(fault: Any, settings: str | None, other: str | None, explanation: str) -> None:
    assert explain(fault, URL, settings, other) == explanation


@pytest.mark.parametrize("other", [None, f"{URL}/?From=%2B14155550123&CallerName=ADA"])
@pytest.mark.parametrize("fault", ["unsigned", "mismatch"])
def test_an_explanation_has_the_names_and_not_the_values_of_a_query(fault: Any, other: str | None) -> None:
    text = explain(fault, f"{URL}?agent=desk&From=%2B14155550123&CallerName=ADA&Digits=", None, other)
    assert "14155550123" not in text and "ADA" not in text
    assert f"{URL}?agent=...&From=...&CallerName=...&Digits=...'" in text


def test_a_long_algorithm_is_cut() -> None:
    assert len(explain("unknown algorithm", URL, "x" * 1000)) < 200


@pytest.mark.parametrize(
    ("signed_url", "requested", "found"),
    [
        (URL + "/", "", URL + "/"),
        (URL.replace("https", "http"), "", URL.replace("https", "http")),
        ("http://b.example/x", "http://b.example/x", "http://b.example/x"),
        ("https://b.example/x", "http://b.example/x", "https://b.example/x"),
        ("https://c.example/x", "http://b.example/x", None),
        (URL, URL, None),
    ],
)
def test_the_address_that_a_signature_fits_is_found(signed_url: str, requested: str, found: str | None) -> None:
    for keys, settings in ((TOKEN, None), (SHARED, SHA256)):
        signature = sign(keys, signed_url, FORM)["X-Twilio-Signature"]
        assert signed_for(keys, URL, FORM, signature, settings, requested=requested) == found


@pytest.mark.parametrize(
    ("url", "other"), [("wss://a.example/media-stream", "https://a.example/media-stream"), ("ws://a/x", "http://a/x")]
)
def test_a_stream_may_be_signed_as_a_web_address(url: str, other: str) -> None:
    signature = sign(TOKEN, other, {})["X-Twilio-Signature"]
    assert signed_for(TOKEN, url, {}, signature) == other


def test_a_slash_is_added_or_removed_before_the_query() -> None:
    assert other_slash("https://a.example/x?y=1") == "https://a.example/x/?y=1"
    assert other_slash("https://a.example/x/?y=1") == "https://a.example/x?y=1"


def test_an_empty_secret_verifies_no_signature() -> None:
    forged = sign(SigningKeys(""), URL, FORM)["X-Twilio-Signature"]
    assert is_signed("", URL, FORM, forged), "anyone can make this signature"
    assert check(SigningKeys("", ""), URL, FORM, forged) == "no key"
    assert check(SigningKeys("", ""), URL, FORM, forged, SHA256) == "no key"


def test_keys_never_print() -> None:
    assert repr(SigningKeys("token", "shared")) == "SigningKeys(...)"
