"""deploy/lint.py finds nothing in deploy/, and it finds each kind of fault. Tools that are not installed are
skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def lint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_lint", DEPLOY / "lint.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lint_result(lint: ModuleType, check: str, folder: Path) -> str:
    try:
        return str(lint.CHECKS[check](folder))
    except lint.Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(
    "check",
    ["Dockerfile", "compose.yaml", "kubernetes", "telephony.service", "telephony-processes.service", "Caddyfile"],
)
def test_nothing_is_found(lint: ModuleType, check: str) -> None:
    assert lint_result(lint, check, DEPLOY)


@pytest.mark.parametrize(
    "check, file, was, becomes",
    [
        ("Dockerfile", "Dockerfile", "WORKDIR /app\nCOPY --from", "WORKDIR app\nCOPY --from"),
        ("compose.yaml", "compose.yaml", "stop_grace_period: 930s", "stop_grace_period: 15 minutes"),
        ("compose.yaml", "compose.yaml", "cap_drop:", "drop_caps:"),
        ("kubernetes", "kubernetes/telephony.yaml", "readinessProbe:", "readyProbe:"),
        ("kubernetes", "kubernetes/proxy.yaml", "replicas: 2", "replicas: two"),
        ("telephony.service", "telephony.service", "TimeoutStopSec=930", "TimeoutStopSec=long"),
        ("telephony.service", "telephony.service", "DynamicUser=yes", "User=root"),
        ("Caddyfile", "Caddyfile", "lb_policy least_conn", "lb_policy least_calls"),
    ],
)
def test_a_mistake_is_found(lint: ModuleType, tmp_path: Path, check: str, file: str, was: str, becomes: str) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder)
    text = (folder / file).read_text()
    assert was in text
    (folder / file).write_text(text.replace(was, becomes))
    with pytest.raises(lint.Faulty):
        lint_result(lint, check, folder)
