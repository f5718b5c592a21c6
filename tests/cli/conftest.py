"""Whatever a test of the command line does, the artifacts it leaves are valid by their published schemas."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.published import check_all


@pytest.fixture(autouse=True)
def artifacts_are_valid(tmp_path: Path) -> Iterator[None]:
    yield
    check_all(tmp_path)
