"""What a cluster said is kept exactly, and said again."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cluster_adapters.clients import DEPLOYMENTS, POD, TRAINER, StandingClock

from modekeeper.cluster.memory import PODS, MemoryCluster, Rule
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.cluster.recording import RecordingReader
from modekeeper.cluster.replaying import ReplayReader
from modekeeper.model.cluster import (
    AccessQuestion,
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    LogQuestion,
    ObjectRef,
    Resource,
)
from modekeeper.model.errors import BadInputError, ModeKeeperError, RefusedError
from modekeeper.ports.cluster import ClusterReader

NEVER = threading.Event()
LOG = LogQuestion(namespace="research", pod="trainer-0", container="main")
MAY = AccessQuestion(verb="patch", group="apps", resource="deployments", namespace="research")


def cluster() -> MemoryCluster:
    made = MemoryCluster(namespace="research")
    made.put(DEPLOYMENTS, {"metadata": {"name": "trainer", "annotations": {"a": "välue\n"}}, "spec": {"replicas": 1}})
    made.put(PODS, {"metadata": {"name": "trainer-0"}, "spec": {"containers": [{"name": "main"}]}})
    log = made.log("research", "trainer-0", "main")
    for line in (b"one", "zwölf 😀".encode(), b"\xff\xfe\x00", b""):
        log.write(datetime(2026, 1, 31, tzinfo=UTC), line)
    return made


def said(ask: Callable[[], Any]) -> Any:
    try:
        answer = ask()
        return list(answer) if isinstance(answer, Iterator) else answer
    except ModeKeeperError as error:
        return (type(error), str(error), getattr(error, "status", None), getattr(error, "detail", None))


def everything(reader: ClusterReader) -> list[Any]:
    def watched() -> list[Any]:
        stop = threading.Event()
        seen = []
        for event in reader.watch(PODS, "research", resource_version="0", stop=stop, labels="a!=b"):
            seen.append(event)
            stop.set()
        return seen

    questions: list[Callable[[], Any]] = [
        reader.server_version,
        lambda: reader.served_versions("apps"),
        lambda: reader.served_versions("none.example.com"),
        lambda: reader.get(TRAINER),
        lambda: reader.get(ObjectRef(DEPLOYMENTS, "research", "none")),
        lambda: reader.list(PODS, None),
        lambda: reader.list(PODS, "research", labels="a=b", fields="metadata.name=x", limit=1),
        watched,
        lambda: reader.logs(LOG, NEVER),
        lambda: reader.logs(LogQuestion(namespace="research", pod="none"), NEVER),
        lambda: reader.can_i(MAY),
        lambda: reader.dry_run(TRAINER, {"spec": {"replicas": 2}}),
        lambda: reader.dry_run(POD, {"metadata": {"annotations": {"a": None}}}),
    ]
    return [said(question) for question in questions]


def recorded(path: Path, reader: ClusterReader | None = None) -> list[Any]:
    recording = RecordingReader(reader or cluster(), path, clock=StandingClock())
    try:
        return everything(recording)
    finally:
        recording.close()


def test_a_replay_says_what_the_cluster_said(tmp_path: Path) -> None:
    live = everything(cluster())
    assert recorded(tmp_path / "r") == live
    replay = ReplayReader(tmp_path / "r")
    assert everything(replay) == live
    assert everything(replay) == live
    assert replay.context == cluster().context


def test_the_same_questions_give_the_same_bytes_also_recorded_from_a_replay(tmp_path: Path) -> None:
    recorded(tmp_path / "one")
    recorded(tmp_path / "two")
    recorded(tmp_path / "three", ReplayReader(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == (tmp_path / "three").read_bytes()
    head = json.loads((tmp_path / "one").read_text().splitlines()[0])
    assert (head["schema_version"], head["started_at"]) == ("cluster_recording.v0", "2026-01-31T09:00:00.000Z")


def test_a_recording_is_its_owner_s_alone(tmp_path: Path) -> None:
    recorded(tmp_path / "r")
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_answers_to_one_question_come_in_their_order_and_the_last_one_stays(tmp_path: Path) -> None:
    made = cluster()
    recording = RecordingReader(made, tmp_path / "r", clock=StandingClock())
    for replicas in (1, 2, 3):
        made.put(DEPLOYMENTS, {"metadata": {"name": "trainer"}, "spec": {"replicas": replicas}})
        recording.get(TRAINER)
    made.fail("get", made.failure(403, "Forbidden", "no more"))
    assert said(lambda: recording.get(TRAINER))[2] == 403
    recording.close()
    replay = ReplayReader(tmp_path / "r")
    assert [replay.get(TRAINER)["spec"]["replicas"] for _ in range(3)] == [1, 2, 3]
    for _ in range(2):
        with pytest.raises(ClusterAnswerError, match="no more"):
            replay.get(TRAINER)


def test_a_question_that_was_not_asked_is_told(tmp_path: Path) -> None:
    recorded(tmp_path / "r")
    replay = ReplayReader(tmp_path / "r")
    with pytest.raises(ClusterUnreachableError, match=r'holds no answer to this question: .*"name":"other"') as caught:
        replay.get(ObjectRef(DEPLOYMENTS, "research", "other"))
    assert str(caught.value).isprintable()
    replay.close()
    with pytest.raises(ClusterUnreachableError, match="closed"):
        replay.get(TRAINER)


def test_a_stream_that_broke_breaks_again_and_one_that_was_left_ends(tmp_path: Path) -> None:
    made = cluster()
    recording = RecordingReader(made, tmp_path / "r", clock=StandingClock())
    follow = LogQuestion(namespace="research", pod="trainer-0", container="main", follow=True)
    chunks = recording.logs(follow, NEVER)
    first = next(chunks)
    made.log("research", "trainer-0", "main").break_connections()
    assert said(lambda: chunks)[0] is ClusterUnreachableError
    left = recording.logs(follow, NEVER)
    assert next(left) == first
    left.close()  # type: ignore[attr-defined]
    recording.close()
    replay = ReplayReader(tmp_path / "r")
    assert said(lambda: replay.logs(follow, NEVER))[0] is ClusterUnreachableError
    assert list(replay.logs(follow, NEVER)) == [first]


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    recording = RecordingReader(cluster(), tmp_path / "r", clock=StandingClock())
    threads = [threading.Thread(target=everything, args=(recording,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recording.close()
    assert everything(ReplayReader(tmp_path / "r")) == everything(cluster())


def test_secrets_are_refused_and_not_even_asked_for(tmp_path: Path) -> None:
    made = cluster()
    recording = RecordingReader(made, tmp_path / "r", clock=StandingClock())
    secrets = Resource("", "v1", "secrets", "Secret")
    for ask in (
        lambda: recording.get(ObjectRef(secrets, "research", "s")),
        lambda: recording.list(secrets, None),
        lambda: recording.watch(secrets, None, resource_version="0", stop=NEVER),
        lambda: recording.dry_run(ObjectRef(secrets, "research", "s"), {}),
    ):
        with pytest.raises(RefusedError):
            ask()
    recording.close()
    assert made.asked == []
    assert len((tmp_path / "r").read_text().splitlines()) == 1


def test_a_run_that_was_killed_leaves_a_recording_that_replays(tmp_path: Path) -> None:
    recorded(tmp_path / "r")
    whole = (tmp_path / "r").read_bytes()
    for size in range(len(whole.splitlines(keepends=True)[0]), len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:size])
        everything(ReplayReader(tmp_path / "cut"))


HEAD = b'{"context":{"name":"a","namespace":"b","server":"c","user":null},"schema_version":"cluster_recording.v0"}\n'
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "no JSON": (b"hello\n", "its first line names no context"),
    "no context": (b'{"schema_version":"cluster_recording.v0"}\n', "its first line names no context"),
    "another version": (HEAD.replace(b".v0", b".v9"), "it is cluster_recording.v9"),
    "a bad line": (HEAD + b"{}\n", "line 2 cannot be read"),
    "no object": (HEAD + b"5\n", "line 2 cannot be read"),
    "an item of no stream": (HEAD + b'{"stream":7,"item":"x"}\n', "line 2 cannot be read"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_recording_is_one_line(what: str, tmp_path: Path) -> None:
    data, says = DAMAGED[what]
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(ClusterConfigError, match=says):
        ReplayReader(tmp_path / "r")


def test_an_answer_that_is_none_is_one_line(tmp_path: Path) -> None:
    ask = {"method": "server_version"}
    for line in ({"ask": ask, "answer": [1]}, {"ask": ask, "error": {"kind": "strange"}}, {"ask": ask, "error": 5}):
        (tmp_path / "r").write_bytes(HEAD + json.dumps(line).encode() + b"\n")
        with pytest.raises(ClusterConfigError, match="cannot be read"):
            ReplayReader(tmp_path / "r").server_version()


def test_places_where_nothing_can_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ClusterConfigError, match="no such file"):
        ReplayReader(tmp_path / "none")
    with pytest.raises(BadInputError, match="cannot be written: is a directory"):
        RecordingReader(cluster(), tmp_path, clock=StandingClock())


def test_a_choice_may_replay_and_record(tmp_path: Path) -> None:
    recorded(tmp_path / "one")
    choice = ClusterChoice(replay=tmp_path / "one", record=tmp_path / "two")
    reader = open_reader(choice, clock=StandingClock(), environment={})
    live = everything(reader)
    reader.close()
    assert live == everything(cluster())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=20) | st.text(max_size=20).map(str.encode), max_size=5))
def test_any_bytes_of_a_log_come_back(chunks: list[bytes], tmp_path: Path) -> None:
    made = MemoryCluster(namespace="research", rules=[Rule(verbs=("*",), groups=("*",))])
    made.put(PODS, {"metadata": {"name": "trainer-0"}, "spec": {"containers": [{"name": "main"}]}})
    for chunk in chunks:
        made.log("research", "trainer-0", "main").write(datetime(2026, 1, 31, tzinfo=UTC), chunk)
    recording = RecordingReader(made, tmp_path / "r", clock=StandingClock())
    live = list(recording.logs(LOG, NEVER))
    recording.close()
    assert list(ReplayReader(tmp_path / "r").logs(LOG, NEVER)) == live
