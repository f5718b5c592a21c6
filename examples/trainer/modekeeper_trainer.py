"""A small training job whose speed depends on its knobs, for trying ModeKeeper on: one JSON line a step.

It needs Python 3.10 and its standard library, and nothing of ModeKeeper. What it trains is a straight line; what takes
the time is a pipeline as jobs have it. Readers fetch batches from a storage into a queue, in order, and a step takes
``MICROBATCHES`` of them and computes. ``concurrency`` loader workers each fetch ``dataloader_prefetch_factor`` batches
ahead, so their product is the number of reads under way: where a read takes longer than the computing hides, steps
wait, and more reads at once hide more (J. D. C. Little, A Proof for the Queuing Formula L = λW, Operations Research 9,
1961).

The knobs are the annotations ``modekeeper/knob.NAME`` of the pod, read from a Downward API file at the beginning of
each step. Everything else is in the environment: see ``Settings``.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

KNOB = "modekeeper/knob."
WORKERS = "concurrency"
PREFETCH = "dataloader_prefetch_factor"
LIMITS = {WORKERS: (1, 128), PREFETCH: (1, 64)}
"""The knobs there are, and the whole numbers each can take."""
MOST_READERS = 256
"""More reads than this are never under way, whatever the knobs multiply to."""
LONGEST_MS = 60_000
BATCH_POINTS = 16
BAD_DAYS = ("none", "slow", "crowded")

Batch = list[tuple[float, float]]


@dataclass(frozen=True)
class Settings:
    """How it trains: each field is the environment variable of the same name in capitals."""

    annotations: str = "/etc/podinfo/annotations"
    """The Downward API file."""
    workers: int = 2
    """``concurrency`` where no annotation says it."""
    prefetch: int = 2
    """``dataloader_prefetch_factor`` where no annotation says it."""
    microbatches: int = 12
    """Batches a step computes on."""
    compute_ms: float = 8.0
    """Computing on one batch."""
    read_ms: float = 20.0
    """Reading one batch from the storage."""
    bad_day: str = "none"
    """``slow``: from ``bad_day_step`` on a read takes ``slow_read_ms``, and more reads at once help. ``crowded``: so it
    does, and for each read beyond ``streams`` that is under way when it begins ``slow_read_ms`` longer: more harm."""
    bad_day_step: int = 250
    slow_read_ms: float = 52.0
    streams: int = 4
    steps: int = 0
    """How many steps; 0 goes on until it is ended."""
    rank: int = 0


class SettingError(Exception):
    """A variable that cannot be used; the text says which, and what it takes."""


def settings_from(environment: dict[str, str]) -> Settings:
    """The settings of an environment.

    Raises:
        SettingError: a variable is no number, or no bad day this trainer has.
    """
    given: dict[str, Any] = {}
    for name, default in vars(Settings()).items():
        text = environment.get(name.upper())
        if text is None:
            continue
        try:
            given[name] = type(default)(text)
        except ValueError as error:
            raise SettingError(f"{name.upper()} is {text!r}, and takes a number") from error
    made = replace(Settings(), **given)
    if made.bad_day not in BAD_DAYS:
        raise SettingError(f"BAD_DAY is {made.bad_day!r}, and takes one of: {', '.join(BAD_DAYS)}")
    sizes = {"WORKERS": made.workers, "PREFETCH": made.prefetch, "MICROBATCHES": made.microbatches}
    sizes["STREAMS"] = made.streams
    for name, size in sizes.items():
        if not 1 <= size <= MOST_READERS:
            raise SettingError(f"{name} is {size}, and takes 1 to {MOST_READERS}")
    for name in ("compute_ms", "read_ms", "slow_read_ms"):
        if not 0 <= getattr(made, name) <= LONGEST_MS:
            raise SettingError(f"{name.upper()} is {getattr(made, name)}, and takes 0 to {LONGEST_MS}")
    return made


def annotated_knobs(text: str) -> tuple[dict[str, int], list[str]]:
    """The knobs of a Downward API file, and the names of those whose values cannot be used.

    The file has a line for each annotation, ``key="value"``. Only whole numbers are taken, and those need no unquoting.
    """
    knobs: dict[str, int] = {}
    unusable: list[str] = []
    for line in text.splitlines():
        key, _, quoted = line.partition("=")
        name = key[len(KNOB) :]
        if not key.startswith(KNOB) or name not in LIMITS:
            continue
        lower, upper = LIMITS[name]
        value = quoted[1:-1]
        if value.isascii() and value.isdigit() and len(value) <= len(str(upper)) and lower <= int(value) <= upper:
            knobs[name] = int(value)
        else:
            unusable.append(name)
    return knobs, unusable


@dataclass
class Knobs:
    """What the job runs with: the values of the file, and what it began with where the file has none."""

    file: Path
    at_start: dict[str, int]
    values: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """Knobs whose values could not be used the last time."""

    def look(self) -> dict[str, int]:
        """Read the file. Where it cannot be read, or a value in it cannot be used, the value before stays."""
        if not self.values:
            self.values = dict(self.at_start)
        # The kubelet swaps the folder behind a link and removes the old one: a reader on its way there finds nothing.
        with suppress(OSError, UnicodeDecodeError):
            found, unusable = annotated_knobs(self.file.read_text(encoding="utf-8"))
            self.values = {**self.at_start, **{name: self.values[name] for name in unusable}, **found}
            for name in unusable:
                if name not in self.told:
                    text = "takes a whole number from {} to {}: the value before stays".format(*LIMITS[name])
                    print(f"WARNING: {name} {text}", file=sys.stderr, flush=True)
            self.told = unusable
        return self.values


class Storage:
    """Where batches come from: what a read takes, alone and in a crowd."""

    def __init__(self, settings: Settings) -> None:
        self.is_bad_day = False
        self._settings = settings
        self._under_way = 0
        self._counting = threading.Lock()

    def read(self, index: int) -> Batch:
        """The batch of this index: always the same one, whoever reads it and when."""
        with self._counting:
            self._under_way += 1
            crowd = self._under_way
        try:
            time.sleep(self._read_ms(crowd) * random.Random(f"read {index}").uniform(0.95, 1.05) / 1000)
        finally:
            with self._counting:
                self._under_way -= 1
        points = random.Random(f"batch {index}")
        xs = [points.uniform(-1, 1) for _ in range(BATCH_POINTS)]
        return [(x, 2 * x + 1 + points.gauss(0, 0.1)) for x in xs]

    def _read_ms(self, crowd: int) -> float:
        settings = self._settings
        if not self.is_bad_day:
            return settings.read_ms
        too_many = max(0, crowd - settings.streams) if settings.bad_day == "crowded" else 0
        return settings.slow_read_ms * (1 + too_many)


class Loader:
    """Batches in order, read ahead by threads. ``resize`` is for between two steps; no batch is lost or comes twice."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._changed = threading.Condition()
        self._ready: dict[int, Batch] = {}
        self._ahead = 0
        self._readers = 0
        self._next_read = 0
        self._next_taken = 0

    def resize(self, knobs: dict[str, int]) -> None:
        """Read as many batches ahead as the knobs say; readers that are too many end with the read they are at."""
        with self._changed:
            self._ahead = min(knobs[WORKERS] * knobs[PREFETCH], MOST_READERS)
            while self._readers < self._ahead:
                self._readers += 1
                threading.Thread(target=self._read_on, daemon=True).start()
            self._changed.notify_all()

    def take(self) -> Batch:
        """The next batch, as soon as it is there."""
        with self._changed:
            self._changed.wait_for(lambda: self._next_taken in self._ready)
            batch = self._ready.pop(self._next_taken)
            self._next_taken += 1
            self._changed.notify_all()
        return batch

    def _read_on(self) -> None:
        while (index := self._next_index()) is not None:
            batch = self._storage.read(index)
            with self._changed:
                self._ready[index] = batch
                self._changed.notify_all()

    def _next_index(self) -> int | None:
        with self._changed:
            self._changed.wait_for(self._has_a_say)
            if self._readers > self._ahead:
                self._readers -= 1
                return None
            self._next_read += 1
            return self._next_read - 1

    def _has_a_say(self) -> bool:
        return self._readers > self._ahead or self._next_read - self._next_taken < self._ahead


class Line:
    """The model: a straight line, fitted by gradient descent."""

    def __init__(self) -> None:
        self._slope = 0.0
        self._offset = 0.0

    def learn(self, batch: Batch) -> float:
        """One step down the gradient; the mean squared error before it."""
        errors = [self._slope * x + self._offset - y for x, y in batch]
        pace = 0.02 / len(batch)
        self._slope -= pace * sum(error * x for error, (x, _) in zip(errors, batch, strict=True))
        self._offset -= pace * sum(errors)
        return sum(error * error for error in errors) / len(batch)


@dataclass
class Training:
    """The job: one pipeline, one model, and the step it is at."""

    settings: Settings
    storage: Storage
    loader: Loader
    knobs: Knobs
    model: Line = field(default_factory=Line)

    def step(self, number: int) -> dict[str, Any]:
        """Train one step, and return its telemetry."""
        settings = self.settings
        self.storage.is_bad_day = settings.bad_day != "none" and number >= settings.bad_day_step
        values = dict(self.knobs.look())
        self.loader.resize(values)
        began, waited, losses = time.monotonic(), 0.0, []
        for _ in range(settings.microbatches):
            asked = time.monotonic()
            batch = self.loader.take()
            waited += time.monotonic() - asked
            losses.append(self.model.learn(batch))
            time.sleep(settings.compute_ms / 1000)
        took = time.monotonic() - began
        return {
            "ts_ms": time.time_ns() // 1_000_000,
            "step": number,
            "step_time_ms": round(took * 1000, 3),
            "data_wait_ms": round(waited * 1000, 3),
            "loss": round(sum(losses) / len(losses), 6),
            "samples_per_second": round(settings.microbatches * BATCH_POINTS / took, 3),
            "phase": "train",
            "rank": settings.rank,
            "knobs": values,
        }


def main() -> int:
    """Train until it is ended, or for as many steps as the settings say."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container has no default action
    try:
        settings = settings_from(dict(os.environ))
    except SettingError as error:
        print(f"ERROR: {error}.", file=sys.stderr)
        return 2
    storage = Storage(settings)
    knobs = Knobs(Path(settings.annotations), {WORKERS: settings.workers, PREFETCH: settings.prefetch})
    training = Training(settings, storage, Loader(storage), knobs)
    number = 0
    while settings.steps == 0 or number < settings.steps:
        print(json.dumps(training.step(number)), flush=True)
        number += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
