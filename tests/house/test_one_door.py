"""The licensed package: what may change a cluster stands in one folder, and only the door reaches it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "packages"
PUBLIC = ROOT / "modekeeper" / "src" / "modekeeper"
PRO = ROOT / "modekeeper-pro" / "src" / "modekeeper_pro"
MODULES = sorted(PRO.rglob("*.py"))

WORDS = {
    "PATCH": ("door/_writers/api.py",),
    "patch": ("door/_writers/kubectl.py",),
    "POST": (),
    "PUT": (),
    "DELETE": (),
    "delete": (),
    "create": (),
    "scale": (),
    "rollout": (),
    "annotate": (),
    "label": (),
    "--raw": (),
    "--overwrite": (),
    "--force": (),
    "--force-conflicts": (),
}
"""Where a word of HTTP or of kubectl that changes something may stand as a text of its own."""

REACHED_FROM = {
    "modekeeper_pro.door._writers": ("door/",),
    "http": ("door/_writers/api.py",),
    "modekeeper_pro.approving": ("approving/",),
    "modekeeper.trust.private_key_file": ("approving/",),
    "modekeeper.trust.passphrase": ("approving/",),
    "cryptography": ("approving/",),
    "subprocess": (),
    "socket": (),
    "httpx2": (),
    "kubernetes": (),
    "lightkube": (),
    "modekeeper.cluster.processes": ("door/_writers/kubectl.py",),
    "modekeeper.cluster.api": ("door/_writers/api.py",),
    "modekeeper.cluster.kubectl": ("door/_writers/kubectl.py",),
}
"""Who may import what."""


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(place: str, source: str) -> list[str]:
    """What in one module of the licensed package is not allowed there."""
    tree = ast.parse(source)
    found = [
        f"{place} imports {module}"
        for name in imported(tree)
        for module, allowed in REACHED_FROM.items()
        if (name == module or name.startswith(f"{module}.")) and not place.startswith(allowed or ("-",))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in WORDS:
            found += [] if place in WORDS[node.value] else [f"{place} has the word {node.value!r}"]
        if isinstance(node, ast.arg | ast.keyword) and node.arg in {"dry_run", "skip", "force", "skip_gates"}:
            found.append(f"{place} has a switch {node.arg!r}")
    return sorted(set(found))


def test_what_changes_a_cluster_stands_in_one_folder() -> None:
    found = [f for path in MODULES for f in faults(path.relative_to(PRO).as_posix(), path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("place", "planted"),
    [
        ("chords.py", "from modekeeper_pro.door._writers.api import ApiWriter"),
        ("chords.py", "import modekeeper_pro.door._writers.kubectl"),
        ("door/apply.py", 'connection.request("PATCH", path)'),
        ("door/apply.py", "import http.client"),
        ("door/apply.py", "from modekeeper_pro.approving.signing import signed_approval"),
        ("actuator.py", "from modekeeper.trust.private_key_file import read_private_key_file"),
        ("door/gates.py", "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey"),
        ("approving/work.py", "import subprocess"),
        ("door/rollback.py", "import subprocess"),
        ("door/_writers/api.py", 'Wired("DELETE", path)'),
        ("door/_writers/kubectl.py", 'words = ["annotate", "--overwrite"]'),
        ("door/apply.py", "def apply(plan, *, skip=False): ..."),
        ("door/apply.py", "writer.write(change, dry_run=True)"),
    ],
)
def test_a_planted_violation_is_found(place: str, planted: str) -> None:
    assert faults(place, planted) != []


def test_each_writer_has_one_way_onto_the_wire() -> None:
    sources = [path.read_text(encoding="utf-8") for path in MODULES]
    assert sum(text.count('"PATCH"') for text in sources) == 1
    assert sum(text.count('"patch",') for text in sources) == 1


@pytest.mark.parametrize("module", sorted(PUBLIC.rglob("*.py")), ids=lambda path: path.relative_to(PUBLIC).as_posix())
def test_the_public_package_never_imports_the_licensed_one(module: Path) -> None:
    assert [name for name in imported(ast.parse(module.read_text())) if name.startswith("modekeeper_pro")] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PRO).as_posix())
def test_a_module_fits_on_a_few_pages_and_says_what_it_is(module: Path) -> None:
    text = module.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno <= 60, node.name
