"""What is found in lines for people, and in promised JSON; what is too long; whose pods and containers are meant."""

import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.telemetry.pods.workloads import deployment, drained, pod, record, source_of, write

from modekeeper.cluster.memory import MemoryCluster
from modekeeper.model.cluster import JsonObject, LogQuestion
from modekeeper.model.errors import FailedError
from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.ports.clock import StopSignal
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.line_decoder import PodLineDecoder
from modekeeper.telemetry.pods.order import RankTable, pod_order
from modekeeper.telemetry.pods.selection import choose_container, selector_of
from modekeeper.telemetry.pods.stamps import split_stamp

FACTS = PodFacts(namespace="ml", pod="p", uid="u", container="c", node="n")
STRICT = PodFacts(namespace="ml", pod="p", uid="u", container="c", strict=True)
NS = 1_769_850_000_123_456_789


MEGATRON = (
    " iteration      100/  500000 | elapsed time per iteration (ms): 1234.5 | learning rate: 1.0E-05 "
    "| global batch size:   256 | lm loss: 1.0E+01 | loss scale: 1.0 |"
)


def found(line: str, facts: PodFacts = FACTS) -> dict[str, Any] | DropReason:
    decoded = PodLineDecoder(IngestLimits()).decode(line.encode(), NS, facts)
    if isinstance(decoded, DropReason):
        return decoded
    sample = decoded.sample
    values = {name: getattr(sample, name) for name in sample.__struct_fields__ if getattr(sample, name) is not None}
    assert values.pop("node", "n") == "n"
    if values.pop("ts_ms") != NS // 1_000_000:
        values["own_time"] = True
    values.pop("worker_latencies_ms", None)
    if decoded.rank is not None:
        values["rank"] = decoded.rank
    return values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("INFO step=120 loss=2.31 step_time=0.412s", {"step": 120, "loss": 2.31, "step_time_ms": 412.0}),
        ('[rank3] {"step": 5, "loss": 2.1}', {"step": 5, "loss": 2.1, "rank": "3"}),
        ("step 7: loss: 1.5, tokens/s: 1,234.5", {"step": 7, "loss": 1.5, "throughput": 1234.5}),
        ("{'loss': 2.3, 'learning_rate': 1e-5, 'epoch': 0.1}", {"loss": 2.3}),
        ("\x1b[32mstep=3\x1b[0m step_time: 95 ms", {"step": 3, "step_time_ms": 95.0}),
        (
            MEGATRON,
            {"step": 100, "step_time_ms": 1234.5, "batch_size": 256.0, "loss": 10.0},
        ),
        (
            "\r 11%|#  | 110/1000 [00:45<06:10, 2.50it/s]\r 12%|#  | 120/1000 [00:50<06:10, 2.00it/s, loss=2.1]",
            {"step": 120, "step_time_ms": 500.0, "loss": 2.1},
        ),
        ("step=1 step_time_ms=5 knob.concurrency=4", {"step": 1, "step_time_ms": 5.0, "knobs": {"concurrency": 4.0}}),
        ('time="2026-01-31T09:00:00Z" level=info step=3 loss=1', {"step": 3, "loss": 1.0, "own_time": True}),
        ("time: 0.4 step: 3 loss: 1", {"step": 3, "loss": 1.0}),
        (
            'time="2026-01-31T09:00:00Z" step=3 loss=1 knob.concurrency=4',
            {"step": 3, "loss": 1.0, "knobs": {"concurrency": 4.0}, "own_time": True},
        ),
        ("gpu_util=93% step=2", {"step": 2, "gpu_util_pct": 93.0}),
        # Nobody knows the unit.
        ("step=2 loss=1 step_time=0.4", {"step": 2, "loss": 1.0}),
        ("step=2 loss=1 eval loss: 9.0 tokens per step: 4096", {"step": 2, "loss": 1.0}),
        ("", DropReason.BLANK),
        ("Loading checkpoint shards: 100%", DropReason.NO_TELEMETRY),
        ("saved checkpoint at step 120", DropReason.NO_TELEMETRY),
    ],
)
def test_lines_for_people(line: str, expected: object) -> None:
    assert found(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"ts": "2026-01-31T09:00:00Z", "step": 1, "loss": 2}', {"step": 1, "loss": 2.0, "own_time": True}),
        ('{"step": 1, "loss": 2}', {"step": 1, "loss": 2.0}),
        (
            '{"ts": "2026-01-31T09:00:00Z", "step_time_ms": 5, "knobs": {"concurrency": 4}}',
            {"step_time_ms": 5.0, "knobs": {"concurrency": 4.0}, "own_time": True},
        ),
        ('{"ts": "soon", "step": 1, "loss": 2}', {"step": 1, "loss": 2.0}),
        ("step=1 loss=2", DropReason.INVALID_JSON),
        ("ts,step_time_ms", DropReason.INVALID_JSON),
        ('{"step": 1', DropReason.INVALID_JSON),
        ('{"step": 1}', DropReason.MISSING_FIELD),
        ("  ", DropReason.BLANK),
    ],
)
def test_promised_json(line: str, expected: object) -> None:
    assert found(line, STRICT) == expected


def test_a_duration_of_an_unknown_unit_is_counted_as_left_out() -> None:
    decoded = PodLineDecoder(IngestLimits()).decode(b"step=2 loss=1 step_time=0.4", NS, FACTS)
    assert not isinstance(decoded, DropReason)
    assert decoded.repairs == (RepairReason.FIELD_IGNORED,)
    assert found("step_time=0.4 step_time_ms=7") == {"step_time_ms": 7.0}


@given(line=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_any_line_has_one_fate(line: bytes) -> None:
    decoder = PodLineDecoder(IngestLimits())
    for facts in (FACTS, STRICT):
        decoder.decode(line, NS, facts)


@pytest.mark.parametrize(
    "piece", ["a ", "a:", "1/", "{", "step ", "rank", "1/1 [", "[", '"', "step='", "1,", "step ,", '{"step":1', "= "]
)
def test_no_line_takes_long(piece: str) -> None:
    line = ("step" + piece * 16_000)[:16_000]
    begun = time.process_time()
    found(line)
    # Quadratic patterns took seconds; this takes milliseconds.
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"2026-01-31T09:00:00.123456789Z text", (NS, b"text")),
        (b"2026-01-31T10:00:00.123456789+01:00 text", (NS, b"text")),
        (b"2026-01-31T09:00:00Z ", (NS // 10**9 * 10**9, b"")),
        (b"2026-13-31T09:00:00Z text", None),
        (b"failed to create fsnotify watcher", None),
    ],
)
def test_the_time_of_the_node(line: bytes, expected: object) -> None:
    assert split_stamp(line) == expected


class Endless:
    """A cluster whose only log holds one line of a hundred megabytes between two short ones."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def logs(self, _question: LogQuestion, _stop: StopSignal) -> Iterator[bytes]:
        yield b"2026-01-31T09:00:00.000000001Z " + record(1, 1) + b"\n"
        yield b"2026-01-31T09:00:01.000000001Z "
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b"\n2026-01-31T09:00:02.000000001Z " + record(2, 2) + b"\n"


def test_a_line_of_a_hundred_megabytes_is_cut_and_counted() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    tracemalloc.start()
    try:
        source = source_of(Endless(cluster))  # type: ignore[arg-type]
        rows = drained(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [row["step"] for row in rows] == [1, 2]
    assert source.counters().dropped_by_reason == {"too_long": 1}
    assert peak < 16 << 20


def test_what_the_node_says_instead_of_a_line_is_told() -> None:
    class Saying(Endless):
        def logs(self, _question: LogQuestion, _stop: StopSignal) -> Iterator[bytes]:
            yield b"unable to retrieve container logs for containerd://abc"

    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    source = source_of(Saying(cluster))  # type: ignore[arg-type]
    assert drained(source) == []
    assert any("unable to retrieve container logs" in note for note in source.notes)


JOB = "batch.kubernetes.io/job-completion-index"
REPLICA = "training.kubeflow.org/replica-index"
REPLICA_TYPE = "training.kubeflow.org/replica-type"
GROUP = "leaderworkerset.sigs.k8s.io/group-index"
WORKER = "leaderworkerset.sigs.k8s.io/worker-index"


def labelled(name: str, owner: str = "ReplicaSet", **labels: str) -> JsonObject:
    named = {globals()[label]: value for label, value in labels.items()}
    return {"metadata": {"name": name, "labels": named, "ownerReferences": [{"kind": owner}]}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([labelled("t-10"), labelled("t-2"), labelled("t-1")], [2, 1, 0]),
        ([labelled("t-3", "StatefulSet"), labelled("t-1", "StatefulSet")], [3, 1]),
        ([labelled("a", JOB="5"), labelled("b", JOB="0")], [5, 0]),
        (
            [
                labelled("w0", REPLICA="0", REPLICA_TYPE="worker"),
                labelled("m0", REPLICA="0", REPLICA_TYPE="master"),
                labelled("w1", REPLICA="1", REPLICA_TYPE="worker"),
            ],
            [1, 0, 2],
        ),
        ([labelled(f"g{g}-{w}", GROUP=str(g), WORKER=str(w)) for g in (1, 0) for w in (0, 1)], [2, 3, 0, 1]),
    ],
)
def test_ranks_of_pods(pods: list[JsonObject], expected: list[int]) -> None:
    table = RankTable()
    table.meet({str(at): pod_order(each) for at, each in enumerate(pods)})
    assert [table.rank(str(at)) for at in range(len(pods))] == expected


@pytest.mark.parametrize(
    ("kind", "workload", "expected"),
    [
        ("Deployment", {"spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}}}, "a=1,b=2"),
        (
            "StatefulSet",
            {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}}},
            "a in (1,2)",
        ),
        ("Job", {"spec": {"selector": {"matchLabels": {"a.io/uid": "u"}}}}, "a.io/uid=u"),
        ("JobSet", {}, "jobset.sigs.k8s.io/jobset-name=trainer"),
        ("PyTorchJob", {}, "training.kubeflow.org/job-name=trainer"),
        ("LeaderWorkerSet", {}, "leaderworkerset.sigs.k8s.io/name=trainer"),
        ("VolcanoJob", {}, "volcano.sh/job-name=trainer"),
        ("RayJob", {"status": {"rayClusterName": "trainer-x7"}}, "ray.io/cluster=trainer-x7"),
    ],
)
def test_selectors(kind: str, workload: JsonObject, expected: str) -> None:
    assert selector_of(kind, {"metadata": {"name": "trainer"}, **workload}) == expected


LIKE = {"key": "a", "operator": "Like", "values": ["1"]}


@pytest.mark.parametrize(
    ("kind", "workload"),
    [
        ("Deployment", {}),
        ("Deployment", {"spec": {"selector": {"matchLabels": {"a": "1,b=2"}}}}),
        ("Deployment", {"spec": {"selector": {"matchLabels": {"a": 1}}}}),
        ("Deployment", {"spec": {"selector": {"matchExpressions": [LIKE]}}}),
        ("JobSet", {"metadata": {"name": "a,b=c"}}),
        ("RayJob", {}),
    ],
)
def test_what_selects_nothing_is_refused(kind: str, workload: JsonObject) -> None:
    with pytest.raises(FailedError):
        selector_of(kind, {"metadata": {"name": "trainer"}, **workload})


def test_the_container_that_is_meant() -> None:
    def of(*names: str, default: str = "") -> JsonObject:
        annotations = {"kubectl.kubernetes.io/default-container": default}
        return {
            "metadata": {"name": "p", "annotations": annotations},
            "spec": {"containers": [{"name": name} for name in names], "initContainers": [{"name": "init"}]},
        }

    assert choose_container(of("train", "istio-proxy"), None) == "train"
    assert choose_container(of("a", "b", default="b"), None) == "b"
    assert choose_container(of("a", "b", default="gone-and-only-sidecars"), "a") == "a"
    assert choose_container(of("istio-proxy"), None) == "istio-proxy"
    assert choose_container(of("a"), "b") is None


def test_lines_written_at_once_keep_their_order() -> None:
    cluster = MemoryCluster()
    deployment(cluster)
    pod(cluster, "trainer-0")
    write(cluster, "trainer-0", [(1.0, record(s, s)) for s in range(50)])
    assert [row["step"] for row in drained(source_of(cluster))] == list(range(50))
