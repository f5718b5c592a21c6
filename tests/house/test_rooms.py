"""The architecture is a failing test: rooms, sizes, and what must not be in the repository."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRO = Path("packages", "modekeeper-pro", "src")
"""Where the licensed package is, which is not installed beside the public one in the tests."""
SOURCE = ROOT / "packages" / "modekeeper" / "src" / "modekeeper"
MODULES = sorted(SOURCE.rglob("*.py"))


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--config", ROOT / "pyproject.toml"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / PRO), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_fits_on_a_few_pages(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_says_what_it_is_and_what_it_offers(module: Path) -> None:
    tree = ast.parse(module.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "no module docstring"
    assert module.stem not in {"utils", "helpers", "common", "misc"}


def _tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name]


FORBIDDEN = {
    "a registry's host": r"(pypi|npmjs|debian|golang|crates)\.(org|io)\b|pythonhosted",
    "a ticket number in a name": r"\b(def|class) \w*[Mm][Kk]_?\d{3}",
    "a path of somebody's machine": r"(?<![\w./])/(work|root|home/\w+)/",
}


GO_MODULE_FILES = frozenset({"go.mod", "go.sum"})
GO_MODULE_NAME = re.compile(r"(?<![\w.])(google\.)?golang\.org/")
"""What modules are called, in the files that list them: a name, not a host they are fetched from."""


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_committed_contains(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in _tracked():
        if path == Path(__file__) or not path.is_file() or path.suffix in {".gz", ".zst", ".png"}:
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        if path.name in GO_MODULE_FILES:
            text = GO_MODULE_NAME.sub("", text)
        found += [f"{path.relative_to(ROOT)}: {m.group(0)}" for m in pattern.finditer(text)]
    assert found == []
