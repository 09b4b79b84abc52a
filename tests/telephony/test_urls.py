"""URLs are changed part by part, whatever they contain."""

from __future__ import annotations

import pytest

from telephony.urls import as_http, as_websocket, mounted, origin, public_address, rebased, websocket_address

HOSTS = [
    "ec2-203-0-113-7.compute-1.amazonaws.com",
    "news.example.com",
    "ws.example.com",
    "https.example.com:8443",
    "[::1]:8000",
    "127.0.0.1",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("http", "websocket"), [("http", "ws"), ("https", "wss")])
def test_the_scheme_changes_and_nothing_else(host: str, http: str, websocket: str) -> None:
    there, back = f"{http}://{host}/ws/http?ws=http", f"{websocket}://{host}/ws/http?ws=http"
    assert as_websocket(there) == as_websocket(back) == back
    assert as_http(back) == as_http(there) == there
    assert origin(there) == f"{http}://{host}"
    assert websocket_address(f"{http}://{host}/ws/", "/media-stream") == f"{websocket}://{host}/ws/media-stream"
    assert public_address(f"{http}://{host}", "/incoming-call", "a=b") == f"{http}://{host}/incoming-call?a=b"


@pytest.mark.parametrize(
    ("base", "root_path", "result"),
    [
        ("https://a.example", "", "https://a.example"),
        ("https://a.example/", "", "https://a.example"),
        ("https://a.example/x", "", "https://a.example/x"),
        ("https://a.example", "/x", "https://a.example/x"),
        ("https://a.example/x", "/x", "https://a.example/x"),
        ("https://a.example/x/", "/x/", "https://a.example/x"),
        ("https://a.example/x", "/y", "https://a.example/x/y"),
        ("https://a.example/x/y", "/y", "https://a.example/x/y"),
        ("https://a.example/x", "/x/y", "https://a.example/x/y"),
        ("https://a.example/xy", "/y", "https://a.example/xy/y"),
    ],
)
def test_a_mount_path_is_there_once(base: str, root_path: str, result: str) -> None:
    assert mounted(base, root_path) == result


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://a.example/x?y=z", "http://127.0.0.1:1/x?y=z"),
        ("https://a.example", "http://127.0.0.1:1"),
        ("wss://a.example/x", "ws://127.0.0.1:1/x"),
        ("https://a.example.evil/x", None),
        ("https://a.example:444/x", None),
        ("http://a.example/x", None),
        ("https://b.example/?https://a.example/x", None),
    ],
)
def test_what_lies_under_an_address_is_found_by_its_parts(url: str, result: str | None) -> None:
    assert rebased(url, "https://a.example", "http://127.0.0.1:1") == result


def test_a_prefix_of_the_path_is_whole_segments() -> None:
    assert rebased("https://a.example/voice/x", "https://a.example/voice", "http://b/v2") == "http://b/v2/x"
    assert rebased("https://a.example/voicemail", "https://a.example/voice", "http://b/v2") is None
