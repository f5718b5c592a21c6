"""The wheel holds what the product needs at run time, and nothing else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "packages" / "modekeeper"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    words = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(PACKAGE),
    ]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl"))).namelist()


@pytest.mark.parametrize(
    "name",
    [
        "modekeeper/py.typed",
        "modekeeper/policy/data/chord_catalog.v1.json",
        "modekeeper/telemetry/bundled/gpt_training_8xh100.jsonl.gz",
        "modekeeper/telemetry/bundled/README.md",
        "modekeeper/artifacts/schemas/closed_loop.v0.schema.json",
    ],
)
def test_the_wheel_has_its_data(name: str, names: list[str]) -> None:
    assert name in names


def test_the_wheel_has_the_page_template_and_the_licence(names: list[str]) -> None:
    assert any(name.endswith("/page.html") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_has_nothing_but_the_package(names: list[str]) -> None:
    allowed = re.compile(r"modekeeper/[\w/.-]+\.(py|json|html|gz|md|typed)|modekeeper-[\d.]+\.dist-info/.+")
    assert [name for name in names if not allowed.fullmatch(name)] == []
