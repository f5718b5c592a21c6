"""Reading on and on: what came since the last look, through broken connections, restarts, rotation and new pods."""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.feeding import Row, Running, rows_of
from tests.telemetry.pods.workloads import at, column, deployment, pod, record, ref, source_of, write

from modekeeper.cluster.memory import MemoryCluster
from modekeeper.model.block import SampleBlock
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.telemetry.pods.followers import FollowLimits
from modekeeper.telemetry.pods.replay import open_recording
from modekeeper.telemetry.pods.source import PodLogSource
from modekeeper.telemetry.recorder import RawRecorder

QUICK = FollowLimits(first_retry_s=0.01, longest_retry_s=0.05, round_wait_s=0.02, idle_s=0.02)
ENOUGH_S = 20.0


class Watching:
    """A live source, looked at until it has given what is waited for."""

    def __init__(self, cluster: Any, **more: Any) -> None:
        self.source: PodLogSource = source_of(cluster, live=True, following=more.pop("following", QUICK), **more)
        self.stop = Running()
        self.blocks: list[SampleBlock] = []

    def look(self) -> None:
        self.blocks.extend(self.source.blocks(self.stop))

    def until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ENOUGH_S
        while not seen():
            assert time.monotonic() < deadline, (self.source.counters(), self.source.notes)
            self.look()

    def until_read(self, lines: int) -> None:
        """Until so many lines have been taken, those included that wait for others of their step."""
        self.until(lambda: sum(self.source._pipeline._lines.values()) + self._of_ended() >= lines)

    def _of_ended(self) -> int:
        return self.source.counters().read_total if not self.source._pipeline._lines else 0

    def rows(self) -> list[Row]:
        self.blocks.extend(self.source.flush())
        self.source.close()
        return rows_of(self.blocks)


@pytest.fixture
def one_pod() -> Iterator[MemoryCluster]:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    yield cluster
    cluster.close()


def some(first: int, stop: int) -> list[tuple[float, bytes]]:
    return [(float(s), record(s, s)) for s in range(first, stop)]


def test_each_look_gives_what_came_since(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    first = sum(map(len, watching.blocks))
    assert watching.source._pipeline._lines == {f"{uid(one_pod, 'trainer-0')}/train": 20}
    write(one_pod, "trainer-0", some(20, 60))
    watching.until(lambda: sum(map(len, watching.blocks)) > first + 20)
    watching.until_read(60)
    assert column(watching.rows(), "step") == list(range(60))


def uid(cluster: MemoryCluster, name: str) -> str:
    return str(cluster.get(ref(name))["metadata"]["uid"])


def test_a_container_that_starts_again_is_read_on(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    log = one_pod.log("default", "trainer-0", "train")
    write(one_pod, "trainer-0", some(20, 25))
    log.break_connections()
    one_pod.restart("default", "trainer-0", "train")
    write(one_pod, "trainer-0", some(25, 50))
    watching.until_read(50)
    assert watching.source.gaps == 0
    assert column(watching.rows(), "step") == list(range(50))


def test_a_line_the_node_has_thrown_away_is_a_gap_and_no_secret(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    down = [True]
    gone = ClusterUnreachableError("The cluster did not answer. Try again.")
    one_pod.fail("logs", gone, times=None, when=lambda _: down[0])
    log = one_pod.log("default", "trainer-0", "train")
    log.break_connections()
    watching.until(lambda: any("cannot be read at the moment" in note for note in watching.source.notes))
    write(one_pod, "trainer-0", some(20, 30))
    log.rotate()
    write(one_pod, "trainer-0", some(30, 40))
    down[0] = False
    watching.until_read(30)
    steps = column(watching.rows(), "step")
    assert steps == [*range(20), *range(30, 40)]
    assert any("rotated" in note and "lines may be missing" in note for note in watching.source.notes)


def test_pods_come_and_go(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    one_pod.log("default", "trainer-0", "train").end()
    old = uid(one_pod, "trainer-0") + "/train"
    one_pod.delete(ref("trainer-0"))
    pod(one_pod, "trainer-1")
    watching.until(lambda: not watching.source._pipeline.knows(old))
    write(one_pod, "trainer-1", some(20, 45))
    watching.until(lambda: watching.source._pipeline._lines.get(uid(one_pod, "trainer-1") + "/train") == 25)
    rows = watching.rows()
    assert column(rows, "step") == list(range(45))
    # The new pod has taken the place of the old one.
    assert all(row["workers"] == [100.0] for row in rows)
    assert watching.source.gaps == 0


def test_a_pod_about_to_end_makes_room_for_the_one_that_replaces_it(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    leaving = {"uid": uid(one_pod, "trainer-0"), "deletionTimestamp": "2026-01-31T09:00:20Z"}
    pod(one_pod, "trainer-0", metadata=leaving)
    pod(one_pod, "trainer-1")
    write(one_pod, "trainer-1", some(20, 45))
    watching.until_read(45)
    rows = watching.rows()
    assert column(rows, "step") == list(range(45))
    assert all(row["workers"] == [100.0] for row in rows)


def test_another_pod_of_the_same_name_is_not_taken_for_the_old_one(one_pod: MemoryCluster) -> None:
    write(one_pod, "trainer-0", some(0, 20))
    watching = Watching(one_pod)
    watching.look()
    log = one_pod.log("default", "trainer-0", "train")
    one_pod.delete(ref("trainer-0"))
    one_pod.restart("default", "trainer-0", "train")
    one_pod._logs.pop(("default", "trainer-0", "train", True))
    pod(one_pod, "trainer-0", metadata={"uid": "another"})
    write(one_pod, "trainer-0", some(20, 40))
    log.break_connections()
    watching.until(lambda: watching.source._pipeline._lines.get("another/train") == 20)
    assert column(watching.rows(), "step") == list(range(40))


def test_the_watch_is_taken_up_again_when_it_ends_or_is_too_old(one_pod: MemoryCluster) -> None:
    watching = Watching(one_pod)
    watching.look()
    one_pod.end_watches()
    one_pod.compact()
    pod(one_pod, "trainer-1")
    one_pod.compact()
    one_pod.end_watches()
    write(one_pod, "trainer-1", some(0, 10))
    watching.until_read(10)
    assert column(watching.rows(), "step") == list(range(10))


def test_more_pods_than_threads_are_read_in_rounds() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    for rank in range(12):
        pod(cluster, f"trainer-{rank}")
        write(cluster, f"trainer-{rank}", [(s + rank / 100, record(s, s + rank / 100, 100 + rank)) for s in range(10)])
    limits = FollowLimits(max_followers=3, round_threads=2, round_wait_s=0.02, first_retry_s=0.01, idle_s=0.02)
    before = threading.active_count()
    watching = Watching(cluster, following=limits)
    watching.look()
    assert threading.active_count() - before <= 3 + 1 + 2 + 1
    for rank in range(12):
        lines = [(s + rank / 100, record(s, s + rank / 100, 100 + rank)) for s in range(10, 30)]
        write(cluster, f"trainer-{rank}", lines)
    watching.until_read(12 * 30)
    rows = watching.rows()
    assert column(rows, "step") == list(range(30))
    assert all(row["workers"] == [100.0 + rank for rank in range(12)] for row in rows)


def test_close_ends_every_thread(one_pod: MemoryCluster) -> None:
    before = threading.active_count()
    watching = Watching(one_pod)
    watching.look()
    assert threading.active_count() > before
    watching.source.close()
    deadline = time.monotonic() + ENOUGH_S
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 6)),
        st.tuples(st.just("break"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("restart"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
        st.tuples(st.just("kill"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Story:
    """Pods that number their lines, and a reader that is looked at, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.cluster = MemoryCluster()
        deployment(self.cluster)
        self.written = [0, 0, 0]
        self.present = [0, 0, 0]
        """Where the present instance of each began."""
        self.time_s = 0.0
        self.seen = [False, False, False]
        """Whether a line of the present instance has been read: else one that starts again leaves no trace."""
        self.recording = folder / "raw.jsonl"
        for name in range(3):
            pod(self.cluster, f"trainer-{name}")
        self.blocks: list[SampleBlock] = []
        self.lines_read = 0
        self.recorder, self.watching = self.started(None)

    def started(self, position: dict[str, Any] | None) -> tuple[RawRecorder, Watching]:
        recorder = RawRecorder(self.recording, append=True)
        watching = Watching(self.cluster, recorder=recorder)
        if position is not None:
            watching.source.resume(position)
        return recorder, watching

    def act(self, act: tuple[str, int, int]) -> None:
        kind, name, count = act
        log = self.cluster.log("default", f"trainer-{name}", "train")
        if kind == "write":
            for _ in range(count):
                self.time_s += 0.25
                step = self.written[name]
                log.write(at(self.time_s), record(step, step * 1.0 + name / 10))
                self.written[name] += 1
            self.seen[name] = False
        elif kind == "break":
            log.break_connections()
        elif kind == "restart" and self.seen[name]:
            self.cluster.restart("default", f"trainer-{name}", "train")
            self.present[name], self.seen[name] = self.written[name], False
        elif kind == "look":
            self.look_at_all()
        elif kind == "kill":
            self.kill()

    def look_at_all(self) -> None:
        self.watching.look()
        self.watching.until_read(sum(self.written))
        self.seen = [written > first for written, first in zip(self.written, self.present, strict=True)]

    def kill(self) -> None:
        self.watching.look()
        position = json.loads(json.dumps(self.watching.source.position()))
        self.blocks += self.watching.blocks
        self.watching.source.close()
        self.recorder.write(b'{"entry": "line that a killed process had written beyond its position"}\n')
        self.recorder.close()
        self.recorder, self.watching = self.started(position)

    def ended(self) -> list[Row]:
        self.look_at_all()
        self.blocks += self.watching.blocks + list(self.watching.source.flush())
        self.watching.source.close()
        self.recorder.close()
        self.cluster.close()
        return rows_of(self.blocks)


@given(acts=ACTS)
@settings(max_examples=25, deadline=None)
def test_whatever_happens_every_line_is_taken_once(acts: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        for act in acts:
            story.act(act)
        rows = story.ended()
        counters = story.watching.source.counters()
        assert counters.read_total == sum(story.written)
        assert counters.dropped_by_reason.get("duplicate", 0) == 0
        assert story.watching.source.gaps == 0
        replayed = open_recording(str(story.recording))
        again = rows_of([*replayed.blocks(Running()), *replayed.flush()])
        assert again == rows
        assert replayed.counters() == counters
