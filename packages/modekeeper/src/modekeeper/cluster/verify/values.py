"""What the knobs of an item are now: in the pods that run, and in the record on their object."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from modekeeper.cluster.verify.compare import live_values, wanted_values
from modekeeper.cluster.verify.facts import ItemFacts
from modekeeper.model.decision import Actuation
from modekeeper.model.json_fields import said
from modekeeper.model.wording import count

__all__ = ["ValuesNow", "values_now"]

_MOST_VALUES = 5


class ValuesNow(NamedTuple):
    """By annotation key; a key is left out of a mapping where it cannot be told."""

    live: dict[str, str | None]
    """Where a change starts from: of hot items what all live pods carry, of cold items the pod template."""
    recorded: dict[str, str | None]
    """What the object itself holds, at the place the patch writes to."""
    pods_differ: tuple[str, ...] = ()
    """Keys of which the live pods carry several values."""
    notes: tuple[str, ...] = ()


def values_now(facts: ItemFacts) -> ValuesNow:
    """The values of the keys an item would set."""
    found = facts.live.value if facts.live is not None else None
    recorded = live_values(facts.item.patch, found) if found is not None else {}
    if facts.item.actuation is Actuation.COLD:
        return ValuesNow(live=recorded, recorded=recorded)
    counted = _counted(facts)
    live = {key: next(iter(values)) for key, values in counted.items() if len(values) == 1}
    differ = tuple(key for key, values in counted.items() if len(values) > 1)
    notes = [f"the live pods differ now: {_knob(key)} is {_spread(counted[key])}" for key in differ]
    wanted = wanted_values(facts.item.patch)
    if live == wanted and recorded not in ({}, wanted):
        notes.append("the live pods already carry every value: only the record on the object would change")
    return ValuesNow(live=live, recorded=recorded, pods_differ=differ, notes=tuple(notes))


def _counted(facts: ItemFacts) -> dict[str, Counter[str | None]]:
    """For each key how many live pods carry which value; nothing where they could not be read."""
    pods = facts.pods.value if facts.pods is not None else None
    patch = facts.item.pod_patch or {}
    carried = [live_values(patch, pod) for pod in pods or ()]
    return {key: Counter(values[key] for values in carried) for key in wanted_values(patch)} if carried else {}


def _spread(values: Counter[str | None]) -> str:
    return ", ".join(_parts(sorted(values.items(), key=lambda each: (-each[1], each[0] is None, each[0] or ""))))


def _parts(values: list[tuple[str | None, int]]) -> Iterator[str]:
    for value, pods in values[:_MOST_VALUES]:
        yield f"{'not set' if value is None else said(value)} in {count(pods, 'pod')}"
    if len(values) > _MOST_VALUES:
        yield f"{count(len(values) - _MOST_VALUES, 'more value')}"


def _knob(key: str) -> str:
    return key.rpartition("knob.")[2]
