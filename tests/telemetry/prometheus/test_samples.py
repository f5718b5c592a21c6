"""What a series means: fields, units, aggregates, blanks, workers in their order."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from tests.telemetry.feeding import Row, Running, rows_of
from tests.telemetry.prometheus.memory_server import (
    STEP_MS,
    T0_MS,
    Held,
    MemoryServer,
    choice,
    gpu,
    pod,
    source_over,
)

from modekeeper.detect.panel import Panel
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.errors import BadInputError
from modekeeper.model.ingest import IngestCounters
from modekeeper.model.signal import SignalKind
from modekeeper.telemetry.prometheus.queries import JOINED_BY


def read(held: Iterable[Held], *metrics: str, last: int = 0, **more: Any) -> tuple[list[Row], IngestCounters]:
    source = source_over(MemoryServer(list(held), [(0, last)]), choice(*metrics, **more))
    rows = rows_of(source.blocks(Running()))
    counters = source.counters()
    assert counters.read_total == counters.accepted_total + counters.dropped_total
    assert counters.dropped_total == sum(counters.dropped_by_reason.values())
    return rows, counters


def one(held: Iterable[Held], *metrics: str, **more: Any) -> Row:
    rows, _ = read(held, *metrics, **more)
    assert len(rows) == 1
    assert rows[0].pop("ts_ms") == T0_MS
    return rows[0]


def gpus(metric: str, *values: object) -> list[Held]:
    return [Held(metric, gpu(number, f"trainer-{number}"), {0: value}) for number, value in enumerate(values)]


def workers(metric: str, **values: object) -> list[Held]:
    return [Held(metric, pod(name.replace("_", "-")), {0: value}) for name, value in values.items()]


NODE = {"node": "node-a", "gpu_model": "NVIDIA H100"}


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param(gpus("DCGM_FI_DEV_GPU_UTIL", 90, 70), {"gpu_util_pct": 80.0}, id="utilisation: mean"),
        pytest.param(gpus("DCGM_FI_DEV_GPU_UTIL", 1), {"gpu_util_pct": 1.0}, id="1 of 100 stays 1"),
        pytest.param(gpus("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1), {"gpu_util_pct": 100.0}, id="1 of 1 is 100"),
        pytest.param(
            gpus("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1.002), {"gpu_util_pct": 100.0}, id="a ratio that overshoots"
        ),
        pytest.param(
            [*gpus("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.25), *gpus("DCGM_FI_DEV_GPU_UTIL", 90)],
            {"gpu_util_pct": 90.0},
            id="the ratio only stands in",
        ),
        pytest.param(gpus("DCGM_FI_DEV_POWER_USAGE", 600.5, 400.5), {"gpu_power_w": 500.5}, id="power: mean"),
        pytest.param(gpus("DCGM_FI_DEV_GPU_TEMP", 60, 81), {"gpu_temp_c": 81.0}, id="temperature: the hottest"),
        pytest.param(
            [*gpus("DCGM_FI_DEV_FB_USED", 900, 70_000), *gpus("DCGM_FI_DEV_FB_FREE", 100, 10_000)],
            {"gpu_mem_used_mb": 900.0, "gpu_mem_total_mb": 1000.0},
            id="memory: the fullest, not the one with most",
        ),
        pytest.param(
            gpus("DCGM_FI_DEV_FB_USED", 900, 70_000), {"gpu_mem_used_mb": 70_000.0}, id="memory without totals: most"
        ),
        pytest.param(
            [*gpus("DCGM_FI_DEV_FB_USED", 900, 70_000), *gpus("DCGM_FI_DEV_FB_FREE", 100)],
            {"gpu_mem_used_mb": 900.0, "gpu_mem_total_mb": 1000.0},
            id="memory: a known share before an unknown one",
        ),
    ],
)
def test_gpus(held: list[Held], expected: Row) -> None:
    assert one(held) == {**expected, **NODE}


@pytest.mark.parametrize(
    ("field", "metric", "values", "expected"),
    [
        ("step_time_ms", "t_seconds", (0.5, 0.75), {"step_time_ms": 750.0, "workers": [500.0, 750.0]}),
        ("step_time_ms", "t_ms", (500, 750), {"step_time_ms": 750.0, "workers": [500.0, 750.0]}),
        ("step_time_ms", "t_milliseconds", (5,), {"step_time_ms": 5.0, "workers": [5.0]}),
        ("data_wait_ms", "t_seconds", (0.25, 0.125), {"data_wait_ms": 250.0}),
        ("loss", "train_loss", (2.0, 4.0), {"loss": 3.0}),
        ("loss", "train_loss", (2.0, "NaN"), {"loss": math.inf}),
        ("loss", "train_loss", (2.0, "-Inf"), {"loss": math.inf}),
        ("loss", "train_loss", (-2.0, -4.0), {"loss": -3.0}),
        ("throughput", "tokens_per_second", (100, 50), {"throughput": 150.0}),
        ("gpu_util_pct", "gpu_busy_ratio", (0.5, 0.25), {"gpu_util_pct": 37.5}),
        ("gpu_util_pct", "gpu_busy_percent", (50, 25), {"gpu_util_pct": 37.5}),
        ("gpu_mem_used_mb", "mem_bytes", (3 << 20, 1 << 20), {"gpu_mem_used_mb": 3.0}),
        ("gpu_power_w", "power_watts", (300, 100), {"gpu_power_w": 200.0}),
        ("gpu_temp_c", "temp_celsius", (-5, -10), {"gpu_temp_c": -5.0}),
    ],
)
def test_metrics_of_the_trainer(field: str, metric: str, values: tuple[object, ...], expected: Row) -> None:
    held = [Held(metric, pod(f"trainer-{number}"), {0: value}) for number, value in enumerate(values)]
    row = one(held, f"{field}={metric}")
    assert row == expected


def test_a_total_of_the_trainer_goes_with_what_dcgm_says_is_used() -> None:
    held = [*gpus("DCGM_FI_DEV_FB_USED", 900, 700), *workers("total_mb", trainer_0=1000)]
    row = one(held, "gpu_mem_total_mb=total_mb")
    assert (row["gpu_mem_used_mb"], row["gpu_mem_total_mb"]) == (900.0, 1000.0)


@pytest.mark.parametrize("name", ["x" * 300, "no\npod", "No Pod"])
def test_an_expression_cannot_invent_a_pod(name: str) -> None:
    source = source_over(MemoryServer([Held("1 * t", {"pod": name}, {0: 5})], [(0, 0)]), choice("step_time_ms=1 * t"))
    (row,) = rows_of(source.blocks(Running()))
    assert row["workers"] == [5.0]
    assert source.position()["workers"]["members"] == []


def test_a_rank_that_is_none_is_not_looked_at() -> None:
    held = [Held("t_ms", pod("trainer-0", rank=rank), {0: 5}) for rank in ("x" * 64, "\n")]
    rows, counters = read(held, "step_time_ms=t_ms")
    assert rows[0]["workers"] == [5.0]
    assert counters.dropped_by_reason == {"duplicate": 1}


def test_every_field_that_can_be_asked_for_can_be_read() -> None:
    suffix = {"step_time_ms": "_ms", "data_wait_ms": "_ms", "gpu_util_pct": "_pct", "gpu_mem_used_mb": "_mb"}
    suffix |= {"gpu_mem_total_mb": "_mb", "gpu_power_w": "_watts", "gpu_temp_c": "_celsius"}
    names = {field: f"m_{field}{suffix.get(field, '')}" for field in JOINED_BY}
    held = [Held(name, pod("trainer-0"), {0: 7}) for name in names.values()]
    row = one(held, *[f"{field}={name}" for field, name in names.items()])
    assert row == {**dict.fromkeys(JOINED_BY, 7.0), "step": 7, "workers": [7.0]}


@pytest.mark.parametrize("field", ["step", "batch_size", "seq_len"])
def test_what_was_not_measured_makes_no_sample(field: str) -> None:
    rows, counters = read(workers("m", trainer_0=7), f"{field}=m")
    assert rows == []
    assert counters.accepted_total == 1


def test_the_step_is_the_one_that_all_have_done() -> None:
    held = [*workers("steps_total", trainer_0=41, trainer_1=40), *workers("t_ms", trainer_0=5)]
    assert one(held, "step=steps_total", "step_time_ms=t_ms")["step"] == 40


BLANKS = [2**31 - 16, 2**31 - 13, 2.0**47, 2.0**47 + 3, 2**63 - 16]
"""DCGM_INT32_BLANK, DCGM_INT32_NOT_PERMISSIONED, DCGM_FP64_BLANK, DCGM_FP64_NOT_PERMISSIONED, DCGM_INT64_BLANK."""


@pytest.mark.parametrize("value", [*BLANKS, "NaN", "+Inf", "-Inf", "1e400", "-1", "lots", "1_0"])
@pytest.mark.parametrize("metric", ["DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_GPU_UTIL"])
def test_a_value_that_is_none_is_dropped_and_counted(metric: str, value: object) -> None:
    held = [*gpus(metric, 50, value), *gpus("DCGM_FI_DEV_GPU_TEMP", 60)]
    rows, counters = read(held)
    assert len(rows) == 1
    assert 50.0 in rows[0].values()
    assert counters.dropped_by_reason == {"not_a_number": 1}
    assert counters.accepted_total == 2
    source = source_over(MemoryServer(held, [(0, 0)]), choice())
    list(source.blocks(Running()))
    assert ("values that were DCGM's sign for no value: 1" in source.notes) == (value in BLANKS)


@pytest.mark.parametrize("value", [2**31, 2.0**47])
def test_a_number_of_the_trainer_is_never_a_blank(value: float) -> None:
    assert one(workers("rate", trainer_0=value), "throughput=rate")["throughput"] == value


def test_a_percentage_beyond_the_scale_is_none() -> None:
    _, counters = read([*gpus("DCGM_FI_DEV_GPU_UTIL", 200), *gpus("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 85)])
    assert counters.dropped_by_reason == {"not_a_number": 2}


def test_workers_are_in_the_natural_order_of_their_pods() -> None:
    held = [Held("t_ms", pod(f"trainer-{n}"), {0: 100 + n}) for n in (10, 2, 0, 1, 9)]
    assert one(held, "step_time_ms=t_ms")["workers"] == [100.0, 101.0, 102.0, 109.0, 110.0]


def test_ranks_of_one_pod_are_told_apart() -> None:
    held = [
        Held("t_ms", pod(f"trainer-{node}", rank=str(rank)), {0: rank})
        for node, ranks in ((1, (9, 10, 11)), (0, (8, 2, 1)))
        for rank in ranks
    ]
    assert one(held, "step_time_ms=t_ms")["workers"] == [1.0, 2.0, 8.0, 9.0, 10.0, 11.0]


def test_a_silent_worker_keeps_its_place_for_five_minutes() -> None:
    silent = {0: 100, 1: 100}
    held = [
        Held("t_ms", pod("trainer-0"), silent),
        Held("t_ms", pod("trainer-1"), dict.fromkeys(range(40), 200)),
    ]
    rows, _ = read(held, "step_time_ms=t_ms", last=39)
    assert [row["workers"] for row in rows[:2]] == [[100.0, 200.0]] * 2
    kept = 300_000 // STEP_MS
    assert [row["workers"] for row in rows[2 : 2 + kept]] == [[None, 200.0]] * kept
    assert [row["workers"] for row in rows[2 + kept :]] == [[200.0]] * (40 - 2 - kept)


def test_a_worker_that_comes_later_changes_nothing_before() -> None:
    held = [Held("t_ms", pod("trainer-1"), dict.fromkeys(range(4), 1)), Held("t_ms", pod("trainer-0"), {2: 0, 3: 0})]
    rows, _ = read(held, "step_time_ms=t_ms", last=3)
    assert [row["workers"] for row in rows] == [[1.0], [1.0], [0.0, 1.0], [0.0, 1.0]]


def test_an_expression_that_keeps_the_pods_tells_the_workers_apart() -> None:
    held = [Held("1 * t", pod(f"trainer-{n}"), {0: n}) for n in (1, 2)]
    assert one(held, "step_time_ms=1 * t")["workers"] == [1.0, 2.0]


def test_an_expression_without_pods_is_the_job_s() -> None:
    row = one([Held("max(t)", {}, {0: 300})], "step_time_ms=max(t)")
    assert row["workers"] == [300.0]
    held = [Held("sum by (stage) (t)", {"stage": str(n)}, {0: 100 * n}) for n in (1, 2)]
    row = one(held, "step_time_ms=sum by (stage) (t)")
    assert (row["step_time_ms"], row["workers"]) == (200.0, [200.0])


def test_a_gpu_that_two_jobs_scrape_counts_once() -> None:
    held = [Held("DCGM_FI_DEV_GPU_UTIL", gpu(0, job=job), {0: value}) for job, value in (("a", 10), ("b", 90))]
    held.append(Held("DCGM_FI_DEV_GPU_UTIL", gpu(1), {0: 30}))
    rows, counters = read(held)
    assert rows[0]["gpu_util_pct"] == 20.0
    assert counters.dropped_by_reason == {"duplicate": 1}


def test_a_gpu_that_three_jobs_scrape_counts_once() -> None:
    held = [
        Held("DCGM_FI_DEV_GPU_UTIL", gpu(0, job=job), values)
        for job, values in (("a", {0: 10}), ("b", {1: 20}), ("c", {0: 90, 1: 90}))
    ]
    rows, counters = read(held, last=1)
    assert [row["gpu_util_pct"] for row in rows] == [10.0, 20.0]
    assert counters.dropped_by_reason == {"duplicate": 2}


def test_instances_of_a_shared_gpu_are_told_apart() -> None:
    held = [Held("DCGM_FI_DEV_FB_USED", gpu(0, GPU_I_ID=str(n)), {0: 100 * n}) for n in (1, 2)]
    rows, counters = read(held)
    assert counters.dropped_total == 0
    assert rows[0]["gpu_mem_used_mb"] == 200.0


def test_other_pods_are_dropped_even_if_the_server_names_them() -> None:
    strangers = [
        gpu(1, "other-0"),
        gpu(2, "trainer-0", namespace="elsewhere"),
        gpu(3, "trainer-0", exported_pod="other-0", exported_namespace="ml"),
        gpu(4, "trainer-a-b-c"),
        gpu(5, "trainer"),
        gpu(6, "xtrainer-0"),
        gpu(7, "trainer-0\n"),
    ]
    held = [Held("DCGM_FI_DEV_GPU_UTIL", labels, {0: 90}) for labels in (gpu(0), *strangers)]
    _, counters = read(held)
    assert counters.accepted_total == 1
    assert counters.dropped_by_reason == {"wrong_shape": len(strangers)}


def test_the_exported_labels_are_the_workload_s() -> None:
    labels = gpu(0, "dcgm-exporter-x", namespace="gpu-operator") | {
        "exported_pod": "trainer-0",
        "exported_namespace": "ml",
    }
    assert one([Held("DCGM_FI_DEV_GPU_UTIL", labels, {0: 42})])["gpu_util_pct"] == 42.0


def test_a_series_without_a_gpu_cannot_be_used() -> None:
    labels = {k: v for k, v in gpu(0).items() if k not in {"UUID", "gpu"}}
    _, counters = read([Held("DCGM_FI_DEV_GPU_UTIL", labels, {0: 90})])
    assert counters.dropped_by_reason == {"missing_field": 1}


def test_machines_and_models_are_named() -> None:
    held = [
        Held("DCGM_FI_DEV_GPU_UTIL", gpu(0), {0: 1, 1: 1, 2: 1}),
        Held("DCGM_FI_DEV_GPU_UTIL", gpu(1, Hostname="node-b", modelName="NVIDIA A100"), {1: 1}),
        Held("DCGM_FI_DEV_GPU_UTIL", gpu(2, Hostname="node-c"), {2: 1}),
    ]
    rows, _ = read(held, last=2)
    assert [row.get("node") for row in rows] == ["node-a", None, None]
    assert [row["gpu_model"] for row in rows] == ["NVIDIA H100", "NVIDIA A100 + NVIDIA H100", "NVIDIA H100"]


def test_names_from_outside_lose_what_cannot_be_printed() -> None:
    labels = gpu(0, modelName="H100\x1b[31m\n" + "x" * 400)
    name = one([Held("DCGM_FI_DEV_GPU_UTIL", labels, {0: 1})])["gpu_model"]
    assert name.isprintable()
    assert len(name) == 253


def test_gaps_are_no_samples() -> None:
    """What a stale series, a pod that restarts, or a scrape that failed leaves behind."""
    rows, counters = read([Held("DCGM_FI_DEV_GPU_UTIL", gpu(0), {0: 1, 3: 2, 4: 3})], last=6)
    assert [(row["ts_ms"] - T0_MS) // STEP_MS for row in rows] == [0, 3, 4]
    assert counters.read_total == 3


def test_rare_scrapes_are_noticed() -> None:
    for every, noticed in ((1, False), (2, True)):
        held = [Held("t_ms", pod("trainer-0"), dict.fromkeys(range(0, 60, every), 5))]
        source = source_over(MemoryServer(held, [(0, 59)]), choice("step_time_ms=t_ms"))
        list(source.blocks(Running()))
        assert any("less often than every 15 s" in note for note in source.notes) == noticed


@pytest.mark.parametrize(
    ("held", "note"),
    [
        ([], "the server has no series of these pods"),
        (gpus("DCGM_FI_DEV_GPU_UTIL", 1), "the server has no t_ms of these pods"),
    ],
)
def test_what_is_not_there_is_said(held: list[Held], note: str) -> None:
    source = source_over(MemoryServer(held, [(0, 0)]), choice("step_time_ms=t_ms"))
    before = source.notes
    list(source.blocks(Running()))
    assert before == ()
    assert any(note in found for found in source.notes)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        (
            {"warnings": ["store gateway\n is \x1b[31maway"]},
            "may be incomplete: the server warns: store gateway\\x0a is",
        ),
        ({"infos": ["metric might not be a counter"]}, "the server remarks: metric might not be a counter"),
    ],
)
def test_a_partial_answer_is_never_whole_without_a_word(more: dict[str, Any], note: str) -> None:
    server = MemoryServer(gpus("DCGM_FI_DEV_GPU_UTIL", 1), [(0, 0), (1, 1)], more)
    source = source_over(server, choice())
    assert len(rows_of(source.blocks(Running()))) == 1
    found = [text for text in source.notes if note in text]
    assert len(found) == 6, "once for each question"
    assert all(text.isprintable() for text in found)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("step_time_ms", "FIELD=METRIC"),
        ("step_time_ms=", "FIELD=METRIC"),
        ("speed=m", "names no field"),
        ("gpu_engine_pct=m_pct", "names no field"),
        ("throughput=tokens_total", "counter by its name"),
        ("step_time_ms=step_seconds_bucket", "counter by its name"),
        ("step_time_ms=step_seconds_sum", "counter by its name"),
        ("step_time_ms=step_duration", "does not tell its unit"),
        ("gpu_util_pct=busy", "does not tell its unit"),
        ("loss=sum(x)\n", None),
        ("loss=sum(\nx)", "no PromQL"),
        ("loss=" + "x" * 5000, "no PromQL"),
    ],
)
def test_a_metric_that_cannot_be_used_is_one_clear_line(metric: str, words: str | None) -> None:
    if words is None:
        source_over(MemoryServer([], []), choice(metric))
        return
    with pytest.raises(BadInputError) as caught:
        source_over(MemoryServer([], []), choice(metric))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_field_that_is_named_twice_is_refused() -> None:
    with pytest.raises(BadInputError, match="two metrics are given for loss"):
        source_over(MemoryServer([], []), choice("loss=a", "loss=b"))


def test_a_metric_of_ones_own_takes_the_place_of_dcgm_s() -> None:
    server = MemoryServer([], [(0, 0)])
    list(source_over(server, choice("gpu_util_pct=u_pct", "gpu_mem_used_mb=m_mb")).blocks(Running()))
    assert [metric for metric, _ in server.asked] == [
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_GPU_TEMP",
        "u_pct",
        "m_mb",
    ]


def test_without_gpus_only_the_trainer_is_asked_for() -> None:
    server = MemoryServer([], [(0, 0)])
    list(source_over(server, choice("loss=l", gpu=False)).blocks(Running()))
    assert [metric for metric, _ in server.asked] == ["l"]


def test_the_detectors_find_the_slow_pod() -> None:
    """From range queries to a finding: what it is all for."""
    points, slow, since = 400, 3, 200
    random = np.random.default_rng(7)
    held = [
        Held(
            "t_seconds",
            pod(f"trainer-{n}"),
            {at: 0.4 * (1.6 if n == slow and at >= since else 1) * random.normal(1, 0.01) for at in range(points)},
        )
        for n in range(8)
    ]
    source = source_over(MemoryServer(held, [(0, points - 1)]), choice("step_time_ms=t_seconds"))
    panel = Panel(DetectorSettings())
    signals = [signal for block in source.blocks(Running()) for signal in panel.update(block)]
    found = [signal for signal in signals if signal.kind is SignalKind.STRAGGLER]
    assert found
    assert {worker for signal in found for worker in signal.workers} == {slow}
    assert all(signal.at_index >= since for signal in signals if signal.kind is SignalKind.STRAGGLER)
