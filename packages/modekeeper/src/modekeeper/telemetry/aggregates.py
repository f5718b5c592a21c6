"""The records of all ranks of one step to one sample: which figure of the job is made of those of its ranks, and how.

Sums and means are correctly rounded (``math.fsum``), so the order in which ranks come in makes no difference.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modekeeper.model.ingest import RepairReason
from modekeeper.model.sample import Sample
from modekeeper.telemetry.arrivals import Arrival

__all__ = ["AGGREGATES", "RankSample", "ThroughputMeaning", "completed", "merged_sample", "placed"]

AGGREGATES: dict[str, str] = {
    "ts_ms": "the latest",
    "step": "the same for all",
    "step_time_ms": "the largest: a step lasts as long as its slowest rank",
    "loss": "the mean; one that diverged makes it diverged",
    "throughput": "the sum, given where no rank is missing; the value itself where all ranks give the same one",
    "data_wait_ms": "the largest: all wait for the rank that waits longest",
    "gpu_util_pct": "the mean",
    "gpu_mem_used_mb": "of the rank whose memory is fullest",
    "gpu_mem_total_mb": "of the rank whose memory is fullest",
    "gpu_power_w": "the mean",
    "gpu_temp_c": "the largest",
    "batch_size": "the value all agree on; else none, and a note",
    "seq_len": "the largest: the longest sequence is what the step is padded to",
    "worker_latencies_ms": "the step time of each rank, in rank order; null for a rank that was silent",
    "worker_groups": "of each rank, once all that report have named theirs",
    "node": "of the lowest rank",
    "gpu_model": "the model all agree on; else that of the slowest rank, and a note",
    "phase": "of the lowest rank that names one",
    "knobs": "each value all agree on; a knob they do not agree on is left out, with a note",
}
"""For each field of a sample: which aggregate it is. The documentation prints this table."""

_OWN = ("step", "ts_ms", "worker_latencies_ms")
"""What two records of one step cannot complete in each other."""


class RankSample(msgspec.Struct, frozen=True, array_like=True):
    """What one rank said of a step."""

    rank: int
    sample: Sample


class ThroughputMeaning(msgspec.Struct):
    """Whether each rank reports its own share of the throughput, or all report that of the job.

    Decided at the first step of which two ranks give one, and kept: a figure that changed its meaning from step to
    step would look like a change of the job.
    """

    of_the_job: bool | None = None


class _Merge:
    """One step being merged."""

    def __init__(self, ranks: Sequence[RankSample], notes: list[str]) -> None:
        self.ranks = ranks
        self.notes = notes
        self.disagreed = False
        rows = (msgspec.structs.astuple(each.sample) for each in ranks)
        self._columns = dict(zip(Sample.__struct_fields__, zip(*rows, strict=True), strict=True))

    def column(self, name: str) -> tuple[Any, ...]:
        """Of each rank, in their order."""
        return self._columns[name]

    def values(self, name: str) -> list[float]:
        column = self._columns[name]
        missing = column.count(None)
        if not missing:
            return list(column)
        return [] if missing == len(column) else [value for value in column if value is not None]

    def largest(self, name: str) -> float | None:
        return max(self.values(name), default=None)

    def mean(self, name: str) -> float | None:
        values = self.values(name)
        if not values:
            return None
        return values[0] if _all_same(values) else math.fsum(values) / len(values)

    def agreed(self, name: str) -> float | None:
        values = self.values(name)
        if not values:
            return None
        if _all_same(values):
            return values[0]
        self.disagree(f"ranks name different values of {name}: it is left out where they do")
        return None

    def disagree(self, note: str) -> None:
        self.disagreed = True
        self.note(note)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def first(self, name: str) -> str | None:
        return next((value for value in self._columns[name] if value is not None), None)

    def gpu_memory(self) -> tuple[float | None, float | None]:
        """Used and total of the fullest; each on its own where no rank has both."""
        pairs = zip(self.column("gpu_mem_used_mb"), self.column("gpu_mem_total_mb"), strict=True)
        both = [(used / total, used, total) for used, total in pairs if used is not None and total]
        if both:
            _, used, total = max(both)
            return used, total
        return self.largest("gpu_mem_used_mb"), self.largest("gpu_mem_total_mb")

    def gpu_model(self) -> str | None:
        if len({*self.column("gpu_model"), None}) - 1 <= 1:
            return self.first("gpu_model")
        self.note("ranks run on different GPU models")
        known = [each.sample for each in self.ranks if each.sample.gpu_model is not None]
        return max(known, key=lambda s: -1.0 if s.step_time_ms is None else s.step_time_ms).gpu_model

    def knobs(self) -> dict[str, float] | None:
        values: dict[str, set[float]] = {}
        for knobs in self.column("knobs"):
            for name, value in (knobs or {}).items():
                values.setdefault(name, set()).add(value)
        agreed: dict[str, float] = {}
        for name, found in sorted(values.items()):
            if len(found) == 1:
                agreed[name] = found.pop()
            else:
                self.disagree(f"ranks run with different values of the knob {name}: it is left out where they do")
        return agreed or None

    def throughput(self, meaning: ThroughputMeaning, expected: int) -> float | None:
        values = self.values("throughput")
        if not values:
            return None
        if meaning.of_the_job is None and len(values) > 1:
            meaning.of_the_job = _all_same(values)
            if meaning.of_the_job:
                self.note("all ranks give the same throughput: taken as that of the job")
        if meaning.of_the_job:
            return self.mean("throughput")
        # A sum that lacks a rank would look like a loss of throughput.
        return math.fsum(values) if len(values) >= expected else None


def merged_sample(
    ranks: Sequence[RankSample],
    *,
    width: int,
    groups: Mapping[int, str],
    throughputs_expected: int,
    meaning: ThroughputMeaning,
    notes: list[str],
) -> tuple[Sample, bool]:
    """One sample of one step; and whether ranks did not agree on something that had to be left out.

    Args:
        ranks: one or more, in rank order.
        width: how many ranks the job has: as many worker latencies as that.
        groups: the peer group of each rank, where known.
        throughputs_expected: how many ranks give a throughput, when all are well.
        meaning: what a throughput is of; settled here, once.
        notes: gets what a person should know, each once.
    """
    if width == 1 and len(ranks) == 1:
        return ranks[0].sample, False
    merge = _Merge(ranks, notes)
    workers = _workers(ranks, width)
    used, total = merge.gpu_memory()
    sample = Sample(
        ts_ms=max(merge.column("ts_ms")),
        step=ranks[0].sample.step,
        step_time_ms=merge.largest("step_time_ms"),
        loss=merge.mean("loss"),
        throughput=merge.throughput(meaning, throughputs_expected),
        data_wait_ms=merge.largest("data_wait_ms"),
        gpu_util_pct=merge.mean("gpu_util_pct"),
        gpu_mem_used_mb=used,
        gpu_mem_total_mb=total,
        gpu_power_w=merge.mean("gpu_power_w"),
        gpu_temp_c=merge.largest("gpu_temp_c"),
        batch_size=merge.agreed("batch_size"),
        seq_len=merge.largest("seq_len"),
        worker_latencies_ms=workers,
        worker_groups=_groups(ranks, workers, groups),
        node=merge.first("node"),
        gpu_model=merge.gpu_model(),
        phase=merge.first("phase"),
        knobs=merge.knobs(),
    )
    return sample, merge.disagreed


def placed(sample: Sample, rank: int, width: int) -> Sample:
    """A sample of one rank alone, with its step time in the place of that rank among ``width``."""
    workers = sample.worker_latencies_ms
    if workers is None or len(workers) != 1 or width == 1:
        return sample
    row = tuple(workers[0] if place == rank else math.nan for place in range(width))
    return msgspec.structs.replace(sample, worker_latencies_ms=row, worker_groups=None)


def _all_same(values: list[float]) -> bool:
    return values.count(values[0]) == len(values)


def _workers(ranks: Sequence[RankSample], width: int) -> tuple[float, ...] | None:
    """The step time of each rank; where a rank speaks for all, what it says of those who said nothing."""
    named = [(each.rank, listed) for each in ranks if (listed := each.sample.worker_latencies_ms)]
    row = [math.nan] * width
    for _, listed in named:
        if len(listed) > 1:
            row += [math.nan] * (len(listed) - len(row))
            row[: len(listed)] = listed
    for rank, listed in named:
        if len(listed) == 1 and rank < len(row):
            row[rank] = listed[0]
    return None if all(math.isnan(latency) for latency in row) else tuple(row)


def _groups(
    ranks: Sequence[RankSample], workers: tuple[float, ...] | None, groups: Mapping[int, str]
) -> tuple[str, ...] | None:
    if workers is None:
        return None
    for each in ranks:
        named = each.sample.worker_groups
        if named is not None and len(named) == len(workers) > 1:
            return named
    if any(rank not in groups for rank in range(len(workers))):
        return None
    return tuple(groups[rank] for rank in range(len(workers)))


def completed(earlier: Arrival, later: Arrival) -> Arrival | None:
    """Two records of one rank and step as one, where they add to each other; ``earlier`` where nothing is new.

    ``None`` where they contradict each other.
    """
    new: dict[str, object] = {}
    for name in Sample.__struct_fields__:
        if name in _OWN:
            continue
        before, after = getattr(earlier.sample, name), getattr(later.sample, name)
        if before is None and after is not None:
            new[name] = after
        elif after is not None and before != after:
            return None
    if not new:
        return earlier
    if "step_time_ms" in new:
        new["worker_latencies_ms"] = later.sample.worker_latencies_ms
    sample = msgspec.structs.replace(earlier.sample, ts_ms=max(earlier.sample.ts_ms, later.sample.ts_ms), **new)
    repairs = tuple(reason for reason in RepairReason if reason in {*earlier.repairs, *later.repairs})
    return msgspec.structs.replace(earlier, sample=sample, repairs=repairs, records=earlier.records + later.records)
