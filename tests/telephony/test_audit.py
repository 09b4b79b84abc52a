"""The audit of the dependencies: its report with known vulnerabilities, with none, and without the database."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or shutil.which(str(ROOT / ".venv-uv/bin/uv"))
KNOWN = {"id": "PYSEC-1", "modified": "2026-01-01T00:00:00Z", "summary": "x", "affected": []}


@contextmanager
def database(*, knows: bool) -> Iterator[str]:
    """A stand-in of OSV."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            found = {"vulns": [{"id": "PYSEC-1", "modified": KNOWN["modified"]}]}
            self._answer({"results": [found if knows and n == 0 else {} for n in range(len(queries))]})

        def do_GET(self) -> None:
            self._answer(KNOWN)

        def _answer(self, body: object) -> None:
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(address: str) -> tuple[int, str]:
    done = subprocess.run(
        [ROOT / ".ci/audit", "--service-url", address], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.fixture
def uv() -> None:
    if not (ROOT / ".ci/audit").exists():
        pytest.skip("no repository")
    if UV is None or subprocess.run([UV, "audit", "--help"], capture_output=True).returncode:
        pytest.skip("no uv with the command audit")


@pytest.mark.usefixtures("uv")
def test_no_known_vulnerability_passes() -> None:
    with database(knows=False) as address:
        status, line = audit(address)
    assert status == 0 and line.startswith("audit: passed")


@pytest.mark.usefixtures("uv")
def test_a_known_vulnerability_fails() -> None:
    with database(knows=True) as address:
        assert audit(address) == (1, "audit: FAILED")


@pytest.mark.usefixtures("uv")
def test_a_database_out_of_reach_is_said_and_does_not_fail() -> None:
    status, line = audit("http://127.0.0.1:9")
    assert (status, line) == (0, "audit: NOT DONE, the database of vulnerabilities (OSV) is out of reach")


def test_every_locked_package_is_public_and_has_a_hash() -> None:
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        if package["source"] == {"editable": "."}:
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files
        for file in files:
            assert file["url"].startswith("https://files.pythonhosted.org/") and file["hash"].startswith("sha256:")
