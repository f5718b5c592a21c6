"""Against a real Prometheus that scrapes real exporters: every sample is one that is known."""

import itertools
import json
import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.telemetry.feeding import Row, Running, rows_of
from tests.telemetry.prometheus.story import AFTER, CALM, CHAPTERS, NAMESPACES, TROUBLE, Story

from modekeeper.cli.clocks import SystemClock
from modekeeper.model.block import SampleBlock
from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.prometheus.answer import is_success
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.opening import open_prometheus, open_prometheus_recording
from modekeeper.telemetry.prometheus.promql import PodSelector
from modekeeper.telemetry.prometheus.queries import plan_queries
from modekeeper.telemetry.prometheus.server import LiveServer
from modekeeper.telemetry.prometheus.source import PrometheusSource
from modekeeper.telemetry.prometheus.windows import SERVER_POINTS, Window
from modekeeper.telemetry.recorder import RawRecorder

CHAPTER_S = 5.0
STEP_S = 1.0
FIRST_SCRAPE_S = 2.0
"""After this long a change has reached the server: its scrapes are half a second apart."""


def gpu_part(row: Row) -> Row:
    return {name: row[name] for name in CALM.gpu_part if name in row}


def watched(story: Story, folder: Path) -> dict[str, tuple[list[Row], Any]]:
    """Reads both jobs again and again while the chapters are told; each time in another process, as it were."""
    blocks: dict[str, list[SampleBlock]] = {name: [] for name in NAMESPACES}
    positions: dict[str, Any] = dict.fromkeys(NAMESPACES)
    sources = {}

    def read() -> None:
        for name in NAMESPACES:
            with RawRecorder(folder / f"{name}.jsonl", append=True) as recorder:
                source = open_prometheus(story.choice(name), clock=SystemClock(), environment={}, recorder=recorder)
                if positions[name] is not None:
                    source.resume(json.loads(json.dumps(positions[name])))
                blocks[name] += source.blocks(Running())
                positions[name] = source.position()
                sources[name] = source
                source.close()

    for chapter in CHAPTERS:
        story.tell(chapter)
        for _ in range(4):
            time.sleep(CHAPTER_S / 4)
            read()
    time.sleep(3)
    read()
    return {name: (rows_of(blocks[name]), sources[name]) for name in NAMESPACES}


def test_every_sample_is_known(story: Story, tmp_path: Path) -> None:
    for name, (rows, source) in watched(story, tmp_path).items():
        _is_the_story(story, rows)
        blanks = sum(row.get("gpu_power_w") == TROUBLE.gpu_part["gpu_power_w"] for row in rows)
        counters = source.counters()
        assert counters.dropped_by_reason == {"not_a_number": blanks}
        assert counters.read_total == counters.accepted_total + blanks
        assert f"values that were DCGM's sign for no value: {blanks}" in source.notes
        _once_more(story, name, rows, tmp_path)


def _is_the_story(story: Story, rows: list[Row]) -> None:
    times = [row["ts_ms"] for row in rows]
    assert len(set(times)) == len(times)
    assert all(t % (STEP_S * 1000) == 0 for t in times)
    # All GPUs are in one scrape: whatever the server made of it, a sample is of one chapter. A busy machine may lose
    # a scrape, and makes a gap then.
    of_gpus = [gpu_part(row) for row in rows if row["ts_ms"] / 1000 > story.began_s[0] + FIRST_SCRAPE_S]
    told = [part for part, _ in itertools.groupby(part for part in of_gpus if part)]
    assert told == [chapter.gpu_part for chapter in CHAPTERS]
    for chapter, begin_s, end_s in zip(CHAPTERS, story.began_s, [*story.began_s[1:], math.inf], strict=True):
        # The workers are scraped apart: only away from a change must all be of one chapter.
        inside = [row for row in rows if begin_s + FIRST_SCRAPE_S < row["ts_ms"] / 1000 < end_s]
        known = chapter.gpu_part | chapter.worker_part
        as_known = [row for row in inside if row == known | {"ts_ms": row["ts_ms"]}]
        assert len(as_known) >= 2
        assert len(as_known) * 2 > len(inside), inside


def source_of(choice: PrometheusChoice) -> closing[PrometheusSource]:
    return closing(open_prometheus(choice, clock=SystemClock(), environment={}))


def _once_more(story: Story, name: str, rows: list[Row], folder: Path) -> None:
    """Read all at once, and from the recording: nothing came late, nothing was doubled."""
    last_ms = rows[-1]["ts_ms"]
    window_s = (last_ms - rows[0]["ts_ms"]) / 1000 + STEP_S
    whole = story.choice(name, end_ms=last_ms, window_s=window_s)
    with source_of(whole) as source:
        assert rows_of(source.blocks(Running())) == rows
    replay = open_prometheus_recording(folder / f"{name}.jsonl")
    assert rows_of(replay.blocks(Running())) == rows


@pytest.mark.parametrize("name", NAMESPACES)
def test_more_points_than_the_server_gives_at_once(story: Story, name: str) -> None:
    with source_of(story.choice(name, window_s=12_000)) as source:
        assert len(rows_of(source.blocks(Running()))) >= 1


@pytest.mark.parametrize(("points", "answered"), [(SERVER_POINTS, True), (SERVER_POINTS + 2, False)])
def test_how_many_points_the_server_gives_at_once(story: Story, points: int, answered: bool) -> None:
    choice = story.choice(NAMESPACES[0])
    (query, *_) = plan_queries(choice, PodSelector(choice)).queries
    last_ms = round(story.began_s[-1]) * 1000 if story.began_s else 1_767_225_600_000
    window = Window(last_ms - (points - 1) * 1000, last_ms, 1000)
    with closing(LiveServer(choice, clock=SystemClock(), environment={}, recorder=None)) as server:
        if answered:
            assert is_success(server.ask(query, window, Running()) or b"")
        else:
            with pytest.raises(BadInputError, match="exceeded maximum resolution of 11,000 points"):
                server.ask(query, window, Running())


def _workers_of(choice: PrometheusChoice, at_least: int) -> int:
    """How many workers there are in a sample, once the server has scraped them: it takes its time for the first."""
    deadline_s = time.monotonic() + 30
    while True:
        with source_of(choice) as source:
            workers = max((len(row.get("workers", ())) for row in rows_of(source.blocks(Running()))), default=0)
        if workers >= at_least or time.monotonic() > deadline_s:
            return workers
        time.sleep(0.5)


def test_exact_pods_and_a_container(story: Story) -> None:
    for pods, container, workers in ((("trainer-1",), "main", 1), (("trainer-1", "trainer-0"), None, 2)):
        exact = story.choice(NAMESPACES[0], pods=pods, container=container)
        assert _workers_of(exact, at_least=workers) == workers
    stranger = story.choice(NAMESPACES[0], container="sidecar", metrics=())
    with source_of(stranger) as source:
        assert rows_of(source.blocks(Running())) == []
        assert "no series of these pods" in source.notes[0]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("loss=rate(", "HTTP 400: .*parse error: unclosed left parenthesis"),
        ("loss=up and on() up + on() up", "HTTP 422: multiple matches|HTTP 422: found duplicate"),
        ("loss=no_such_function(up)", "unknown function"),
    ],
)
def test_the_server_s_own_word_on_a_bad_expression(story: Story, metric: str, words: str) -> None:
    choice = story.choice(NAMESPACES[0], metrics=(metric,))
    with source_of(choice) as source, pytest.raises(BadInputError, match=words):
        list(source.blocks(Running()))


def test_an_address_with_another_path_is_said(story: Story) -> None:
    wrong = msgspec.structs.replace(story.choice(NAMESPACES[0]), url=f"{story.url}/elsewhere")
    with source_of(wrong) as source, pytest.raises(BadInputError, match="the path in front of /api/v1"):
        list(source.blocks(Running()))


def test_the_chapters_are_told_apart_by_the_gpus() -> None:
    for one, other in itertools.combinations((CALM, TROUBLE, AFTER), 2):
        assert one.gpu_part["gpu_power_w"] != other.gpu_part["gpu_power_w"]
        assert one.gpu_part["gpu_util_pct"] != other.gpu_part["gpu_util_pct"]
        assert one.worker_part["workers"] != other.worker_part["workers"]
