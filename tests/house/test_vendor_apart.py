"""The vendor's package stands on the public one, and never the other way round; it does not ship with it."""

import ast
import tomllib
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
VENDOR = "modekeeper_license_gate"


def imports_of(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # import_module("...")
    return {name.partition(".")[0].partition(":")[0] for name in found}


def test_the_public_package_does_not_import_it() -> None:
    modules = sorted((PACKAGES / "modekeeper" / "src").rglob("*.py"))
    assert modules
    assert [path for path in modules if VENDOR in imports_of(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "planted",
    [
        f"import {VENDOR}",
        f"from {VENDOR}.signing import licence",
        f"def f():\n    from {VENDOR} import work",
        f"import_module('{VENDOR}.main')",
    ],
)
def test_a_planted_import_is_found(planted: str) -> None:
    assert VENDOR in imports_of(planted)


def test_the_public_package_does_not_depend_on_it_and_it_cannot_be_uploaded() -> None:
    public = tomllib.loads((PACKAGES / "modekeeper" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    vendor = tomllib.loads((PACKAGES / "license-gate" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not any("license-gate" in text for text in public["dependencies"])
    assert "Private :: Do Not Upload" in vendor["classifiers"]
    assert "All rights reserved" in (PACKAGES / "license-gate" / "LICENSE").read_text(encoding="utf-8")
