"""Nothing in the public package can change a cluster: who may speak to one, and with which words."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "packages" / "modekeeper" / "src" / "modekeeper"

CLIENTS = {
    "http.client": ("cluster/api/",),
    "httpx2": ("telemetry/prometheus/transport.py",),
    "httpx": (),
    "urllib.request": (),
    "requests": (),
    "aiohttp": (),
    "kubernetes": (),
    "lightkube": (),
    "kr8s": (),
    "pykube": (),
    "websockets": (),
}
"""Where a module that speaks HTTP, or to a cluster, may be imported."""

WORDS = {
    "POST": ("cluster/api/wire.py", "telemetry/prometheus/transport.py"),
    "PATCH": ("cluster/api/wire.py",),
    "PUT": (),
    "DELETE": (),
    # A name of a check, what a report says was asked for, the commands that refuse, and the method of who may do it.
    "apply": (
        "cli/machine_checks.py",
        "artifacts/contracts/k8s_apply.py",
        "cli/commands.py",
        "cli/k8s_apply.py",
        "cli/actuators.py",
    ),
    "delete": ("cluster/rbac.py",),  # the verb of a rule
    "scale": (),
    "rollout": (),
    "annotate": (),
    "label": (),
    "--raw": ("cluster/kubectl/transport.py",),
    "--dry-run=server": ("cluster/kubectl/transport.py",),
    "--dry-run=none": (),
    "--force": ("cli/k8s_apply.py", "cli/k8s_rollback.py"),  # an option that bypasses nothing
}
"""Where a word of HTTP or of kubectl that could change something may stand as a text of its own."""


def faults(place: str, source: str) -> list[str]:
    """What in one module is not allowed there."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for client, allowed in CLIENTS.items():
            if any(name == client or name.startswith(f"{client}.") for name in names) and not place.startswith(allowed):
                found.append(f"{place} imports {client}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            allowed = WORDS.get(node.value, (place,))
            if not place.startswith(allowed or ("-",)):
                found.append(f"{place} has the word {node.value!r}")
    return sorted(set(found))


def test_only_three_kinds_of_request_can_leave() -> None:
    found = [
        fault
        for path in sorted(SOURCE.rglob("*.py"))
        for fault in faults(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("place", "planted"),
    [
        ("cli/observe.py", "import http.client"),
        ("cluster/verify/gather.py", "from http import client"),
        ("telemetry/pods/source.py", "import httpx2"),
        ("cluster/opening.py", "from lightkube import Client"),
        ("cluster/rest_reader.py", 'self._transport.send("PATCH", path)'),
        ("cluster/api/transport.py", 'connection.request("DELETE", path)'),
        ("cluster/kubectl/transport.py", 'words = ["kubectl", "annotate", "--overwrite"]'),
        ("cluster/kubectl/version.py", 'words = ["kubectl", "apply", "-f", "-"]'),
        ("cluster/kubectl/transport.py", 'words = ["patch", "--dry-run=none"]'),
    ],
)
def test_a_planted_violation_is_found(place: str, planted: str) -> None:
    assert faults(place, planted) != []
