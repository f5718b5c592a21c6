"""The wheel holds what the product needs at run time, and nothing else."""

import re
import zipfile

import pytest
from tests.house.guard import build_wheel


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))).namelist()


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
