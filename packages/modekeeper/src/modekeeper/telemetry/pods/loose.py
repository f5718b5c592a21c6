"""Figures anywhere in a line that was written for people: ``key=value``, ``key: value``, JSON, a progress bar.

Only what cannot be mistaken is taken. A duration needs its unit, in the name or behind the number: ``step_time=0.412``
may be seconds or milliseconds, so it is left out. Of several updates in one line, as a progress bar writes them, the
last one counts.
"""

import json
import re
from collections.abc import Iterator

from modekeeper.telemetry.fields import KNOB_PREFIXES, LOOKUP, FieldKind
from modekeeper.telemetry.values import Bad, parse_ts_ms

__all__ = ["EARLIEST_TS_MS", "LOOSE_NAMES", "figures_in"]

EARLIEST_TS_MS = 946_684_800_000
"""2000-01-01: an earlier ``time`` is a duration or a counter."""

LOOSE_NAMES: dict[str, str] = {
    "step_time": "step_time", "step time": "step_time", "time per step": "step_time", "time_per_step": "step_time",
    "iter_time": "step_time", "iteration time": "step_time", "elapsed time per iteration": "step_time",
    "batch_time": "step_time", "latency": "step_time", "step_duration": "step_time",
    "data_wait": "data_wait", "data wait": "data_wait", "data_time": "data_wait", "data time": "data_wait",
    "data_load_time": "data_wait",
    "lm loss": "loss", "train loss": "loss", "training loss": "loss", "global step": "step",
    "global batch size": "batch_size", "batch size": "batch_size", "sequence length": "seq_len",
    "tokens/s": "throughput", "tokens/sec": "throughput", "tok/s": "throughput", "toks/s": "throughput",
    "samples/s": "throughput", "samples/sec": "throughput", "images/s": "throughput", "img/s": "throughput",
    "tokens per second": "throughput", "samples per second": "throughput", "tps": "throughput",
    "gpu util": "gpu_util_pct", "gpu utilization": "gpu_util_pct",
    "gpu_mem": "gpu_mem", "gpu mem": "gpu_mem", "gpu memory": "gpu_mem",
}  # fmt: skip
"""Names people give to fields in log lines, beside those of records. Underscores and blanks are told apart here."""

_LAST_NAMES = {"step_time": "latency_s", "data_wait": "data_time_s"}
_DURATIONS = {"step_time": "step_time_ms", "data_wait": "data_wait_ms"}
_UNIT_MS = {
    "us": 0.001, "µs": 0.001, "ms": 1.0, "msec": 1.0, "millis": 1.0, "milliseconds": 1.0,
    "s": 1000.0, "sec": 1000.0, "secs": 1000.0, "second": 1000.0, "seconds": 1000.0,
}  # fmt: skip
_UNIT_MB = {"mb": 1.0, "mib": 1.048576, "gb": 1000.0, "gib": 1073.741824}
_NOISE = frozenset(
    {"info", "debug", "warning", "warn", "error", "train", "training", "trainer", "metrics", "log", "rank", "at", "the"}
)
"""Words that may stand before a name without being part of it."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PAIR = re.compile(
    r"(?<![\w@./-])(?P<name>[A-Za-z@][\w@./-]{0,79}(?: [A-Za-z][\w/]{0,31}){0,4})['\"]?"
    r"\s{0,12}(?:\((?P<in>ms|s|sec|seconds|%)\))?\s{0,12}(?P<mark>[=:])\s{0,12}"
    r"(?P<value>\"[^\"]{0,80}\"|'[^']{0,80}'|\d{4}-\d\d-\d\d[T ][\d:.,]{5,18}(?:Z|[+-]\d\d:?\d\d)?"
    r"|[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?|[+-]?(?:nan|inf(?:inity)?)\b)"
    r"(?: ?(?P<unit>%|(?:us|µs|ms|msec|millis|milliseconds|s|secs?|seconds?|[mg]i?b)(?![\w=:/])))?",
    re.IGNORECASE,
)
_BARE_COUNTER = re.compile(
    r"\b(?P<name>step|iteration|iter|global_step)\s{0,12}[#\[]?\s{0,12}(?P<value>\d{1,18})\b(?!\s{0,12}(?:[=.%]|:\d))",
    re.IGNORECASE,
)
_RANK = re.compile(r"\[?\b(?:global[_ ])?rank[ :=_]?\s{0,12}(?P<rank>\d{1,5})\b\]?", re.IGNORECASE)
_BAR = re.compile(
    r"(?P<step>\d{1,18})/(?:\d{1,18}|\?) \[[^\]\[]{0,120}?(?P<rate>\d+(?:\.\d+)?)\s*(?P<unit>it/s|s/it)\b"
)
_MOST_OBJECTS = 4
_INT_DIGITS = 19
_MOST_CHARS = 16_384
"""A line for people is not longer; what is beyond is not looked at."""
_decoder = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) <= _INT_DIGITS else float(text))


def figures_in(line: bytes) -> dict[str, object]:
    """What can be used of a line, by the names of ``telemetry.fields``; empty where there is nothing.

    A value that stands in the line under a known name, but cannot be used, is kept as text: whoever reads the record
    counts it.
    """
    text = _ESCAPES.sub("", line[: 4 * _MOST_CHARS].decode(errors="replace"))[:_MOST_CHARS]
    updates = [part for part in text.split("\r") if part.strip()]
    for update in reversed(updates):
        found = _figures(update)
        if any(_is_figure(name) for name in found):
            return found
    return {}


def _figures(text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    rest = []
    end = 0
    for begin, stop, record in _objects(text):
        rest.append(text[end:begin])
        end = stop
        for name, value in record.items():
            found.setdefault(name, value)
    rest.append(text[end:])
    outside = " ".join(rest)
    for name, value in _bar(outside):
        found.setdefault(name, value)
    for name, value in _pairs(outside):
        found.setdefault(name, value)
    if "step" not in found and not any(_field(name) == "step" for name in found):
        counter = _BARE_COUNTER.search(outside)
        if counter:
            found["step"] = counter["value"]
    if not any(_field(name) == "rank" for name in found):
        rank = _RANK.search(outside)
        if rank:
            found["rank"] = rank["rank"]
    return found


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, object]]]:
    """JSON objects that hold something known, with their places."""
    at = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            return
        try:
            record, stop = _decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        if isinstance(record, dict) and any(_is_known(name) for name in record):
            yield at, stop, {name: value for name, value in record.items() if _is_usable(name, value)}
        at = text.find("{", max(stop, at + 1))


def _pairs(text: str) -> Iterator[tuple[str, object]]:
    for match in _PAIR.finditer(text):
        name = _name(match["name"], attached=match["mark"] == "=")
        if name is None:
            continue
        value = match["value"].strip("\"'")
        yield from _valued(name, value, (match["in"] or match["unit"] or "").lower())


def _name(phrase: str, *, attached: bool) -> str | None:
    """What a name, maybe with words before it, stands for; ``None`` for nothing known."""
    if _is_known(phrase):
        return phrase
    lower = phrase.lower()
    words = lower.split(" ")
    for first in range(len(words)):
        candidate = " ".join(words[first:])
        known = LOOSE_NAMES.get(candidate) or (candidate if _is_known(candidate) else None)
        if known is not None:
            # "tokens per step: 4096" is no step, "eval loss: 2" no training loss.
            before = words[:first]
            return known if attached or all(word in _NOISE for word in before) else None
    return None


def _valued(name: str, value: str, unit: str) -> Iterator[tuple[str, object]]:
    if name in _DURATIONS:
        scale = _UNIT_MS.get(unit)
        if scale is not None:
            yield _DURATIONS[name], _times(value, scale)
        else:
            # Under the field's last name, so that it hides no other value of it, and is counted as not usable.
            yield _LAST_NAMES[name], f"{value} of an unknown unit"
    elif name == "gpu_mem":
        scale = _UNIT_MB.get(unit)
        if scale is not None:
            yield "gpu_mem_used_mb", _times(value, scale)
    elif _is_usable(name, value):
        target = LOOKUP.get(name)
        if target is not None and target.field.kind is FieldKind.TIME:
            value = value.replace(",", ".")
        number = value.replace(",", "") if target is None or target.field.kind is not FieldKind.TIME else value
        duration = target is not None and target.field.unit == "ms" and target.field.kind is FieldKind.NUMBER
        if duration and unit in _UNIT_MS and target is not None:
            yield target.field.name, _times(number, _UNIT_MS[unit])
        else:
            yield name, number


def _bar(text: str) -> Iterator[tuple[str, object]]:
    """The last update of a progress bar: its counter, and its own smoothed rate as the time of a step."""
    updates = list(_BAR.finditer(text))
    if not updates:
        return
    last = updates[-1]
    rate = float(last["rate"])
    yield "step", last["step"]
    if rate > 0:
        yield "step_time_ms", 1000.0 / rate if last["unit"] == "it/s" else 1000.0 * rate


def _times(value: str, scale: float) -> object:
    try:
        return float(value.replace(",", "")) * scale
    except ValueError:
        return value


def _is_known(name: str) -> bool:
    return name in LOOKUP or name.startswith(KNOB_PREFIXES)


def _field(name: str) -> str | None:
    target = LOOKUP.get(name)
    return None if target is None else target.field.name


def _is_figure(name: str) -> bool:
    """Whether a name alone makes a line telemetry: a step, or something measured."""
    target = LOOKUP.get(name)
    return target is not None and (target.field.measured or target.field.name == "step")


def _is_usable(name: str, value: object) -> bool:
    """Leaves out a ``time`` that is no moment: people call durations so."""
    target = LOOKUP.get(name)
    if target is None or target.field.kind is not FieldKind.TIME:
        return target is not None or name.startswith(KNOB_PREFIXES)
    ts_ms = parse_ts_ms(value.replace(",", ".") if isinstance(value, str) else value, target.scale)
    return not isinstance(ts_ms, Bad) and ts_ms >= EARLIEST_TS_MS
