"""What the public wheel may hold: ``python -m tests.house.guard [WHEEL]`` builds it where none is named, and looks.

The rules are the same for the sources of a checkout and for what is in a built wheel.
"""

import ast
import subprocess
import sys
import tempfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

__all__ = ["CLIENTS", "SOURCE", "WORDS", "build_wheel", "faults", "faults_of_wheel"]

PACKAGE = Path(__file__).parents[2] / "packages" / "modekeeper"
SOURCE = PACKAGE / "src" / "modekeeper"

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
    tree = ast.parse(source)
    found = _unbound_methods(place, tree)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [f"{place} imports {name}" for name in names if name.partition(".")[0] in PAID_MODULES]
        for client, allowed in CLIENTS.items():
            if any(name == client or name.startswith(f"{client}.") for name in names) and not place.startswith(allowed):
                found.append(f"{place} imports {client}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            allowed = WORDS.get(node.value, (place,))
            if not place.startswith(allowed or ("-",)):
                found.append(f"{place} has the word {node.value!r}")
    return sorted(set(found))


def _unbound_methods(place: str, tree: ast.Module) -> list[str]:
    """Where requests are put on the wire: a POST that is no access review, a PATCH that is no dry run."""
    if place == "cluster/api/wire.py":
        return _wired(place, tree)
    if place == "cluster/requests.py":
        said = {
            ast.unparse(node.targets[0]): ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign)
        }
        patches = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "DryRun"]
        found = [f"{place} has another {name}" for name, text in PROVED.items() if said.get(name) != text]
        if [_returned(node) for node in patches] != ["f'{object_path(self.ref)}?{DRY_RUN_QUERY}'"]:
            found.append(f"{place} has a DryRun that may be none")
        return found
    return []


PROVED = {
    "DRY_RUN_QUERY": "f'dryRun=All&fieldValidation=Strict&fieldManager={FIELD_MANAGER}'",
    "ACCESS_REVIEW_PATH": "'/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'",
}
ON_THE_WIRE = {("AccessReview()", "'POST'", "ACCESS_REVIEW_PATH"), ("DryRun()", "'PATCH'", "request.target")}
"""Pattern of the request, method, target: as the source spells them."""


def _wired(place: str, tree: ast.Module) -> list[str]:
    said = [
        (ast.unparse(case.pattern), *(ast.unparse(argument) for argument in call.args[:2]))
        for case in ast.walk(tree)
        if isinstance(case, ast.match_case)
        for call in ast.walk(case)
        if isinstance(call, ast.Call) and call.args and ast.unparse(call.args[0]) in {"'POST'", "'PATCH'"}
    ]
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in {"POST", "PATCH"}]
    if len(methods) != len(said) or not set(said) <= ON_THE_WIRE:
        return [f"{place} has a POST or a PATCH that is neither an access review nor a dry run"]
    return []


def _returned(node: ast.ClassDef) -> str:
    return next((ast.unparse(each.value) for each in ast.walk(node) if isinstance(each, ast.Return) and each.value), "")


PAID_MODULES = ("modekeeper_pro", "license_gate", "modekeeper_license_gate")
"""What is never shipped with the public package, nor imported by it."""
PAID_ROOMS = frozenset({"door", "_writers", "writers", "writer", "issuing", "actuators"})
"""Folders of the other packages; a folder of that name is one of theirs that strayed."""
ENTRY_GROUPS = frozenset({"console_scripts"})
SHIPPED = frozenset({"py", "json", "html", "gz", "md", "typed"})


def faults_of_wheel(wheel: Path) -> list[str]:
    """Everything in a wheel that the public package may not have."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            if parts[0].endswith(".dist-info"):
                found += _faults_of_metadata(name, archive.read(name))
            elif parts[0] != "modekeeper" or name.rpartition(".")[2] not in SHIPPED:
                found.append(f"{name} is none of the package's files")
            elif PAID_ROOMS.intersection(parts[:-1]):
                found.append(f"{name} is in a room of the paid package")
            elif name.endswith(".py"):
                found += faults("/".join(parts[1:]), archive.read(name).decode())
    return sorted(set(found))


def _faults_of_metadata(name: str, data: bytes) -> list[str]:
    if name.endswith("/METADATA"):
        needed = message_from_bytes(data).get_all("Requires-Dist") or []
        return [f"{name} needs {line}" for line in needed if any(paid in _plain(line) for paid in PAID_MODULES)]
    if name.endswith("/entry_points.txt"):
        groups = {line.strip()[1:-1] for line in data.decode().splitlines() if line.strip().startswith("[")}
        return [f"{name} offers {group}" for group in sorted(groups - ENTRY_GROUPS)]
    return []


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def build_wheel(folder: Path) -> Path:
    """Build the public wheel from this checkout, without asking any index."""
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, str(PACKAGE)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"ERROR: the wheel cannot be built: {done.stderr}")
    return next(folder.glob("*.whl"))


def main(arguments: list[str]) -> int:
    """Look at one wheel; 0 where it holds nothing that it may not, else 1 and a line for each fault."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(arguments[0]) if arguments else build_wheel(Path(folder))
        found = faults_of_wheel(wheel)
    for fault in found:
        sys.stderr.write(f"ERROR: {wheel.name}: {fault}\n")
    if not found:
        sys.stdout.write(f"{wheel.name}: no writer, nothing of the paid package\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
