"""A real Prometheus that scrapes real exporters, or one loud line that says how to get it."""

import os
import sys
import time
from collections.abc import Iterator

import pytest
from tests.telemetry.prometheus.exporter import Exporter, running_exporter
from tests.telemetry.prometheus.real_server import PROGRAM_VARIABLE, find_program, query, running_prometheus
from tests.telemetry.prometheus.story import Story

REQUIRE_VARIABLE = "MODEKEEPER_REQUIRE_CLUSTER"
LACK = (
    "NOT tested against a real Prometheus: no program 'prometheus' in PATH. Install Debian's package prometheus, or "
    f"name the program in {PROGRAM_VARIABLE}."
)
_FIRST_SCRAPE_S = 60.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the program one test is left to be skipped, and to say why; the others are not a line each."""
    wanting = [item for item in items if "story" in getattr(item, "fixturenames", ())]
    if not wanting or find_program() is not None:
        return
    left_out = wanting[1:]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def exporter() -> Iterator[Exporter]:
    with running_exporter() as running:
        yield running


@pytest.fixture(scope="session")
def story(exporter: Exporter, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A server that has scraped at least once, and what the exporters tell it."""
    program = find_program()
    if program is None:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(LACK, pytrace=False)
        # A reason for a skip is shown only to who asks for it.
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{LACK}", file=sys.stderr, flush=True)
        pytest.skip(LACK)
    told = Story(exporter)
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), program, told.jobs(), "500ms") as url:
        told.url = url
        until = time.monotonic() + _FIRST_SCRAPE_S
        while len(query(url, "up == 1")) < len(told.jobs()):
            assert time.monotonic() < until, "Prometheus scraped nothing"
            time.sleep(0.1)
        yield told
