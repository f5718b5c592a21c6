"""The explain log: what a command did and why, one event a line."""

from contextlib import suppress
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import json_line
from modekeeper.artifacts.times import iso_utc
from modekeeper.ports.clock import Clock

__all__ = ["ExplainEvent", "ExplainLog"]


class ExplainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``explain.jsonl``."""

    ts: str
    event: str
    payload: dict[str, Any]


class ExplainLog:
    """Events of one command in the order they happened.

    At most ``limit`` are kept, the first half and the newest: how it began matters, and how it ended.
    """

    def __init__(self, clock: Clock, limit: int = 2000) -> None:
        self._clock = clock
        self._limit = limit
        self._events: list[ExplainEvent] = []
        self._left_out = 0

    def add(self, event: str, **payload: Any) -> None:
        """Note one event; ``payload`` must be made of JSON values or nouns of the model."""
        self._keep(ExplainEvent(ts=iso_utc(self._clock.now()), event=event, payload=payload))

    def _keep(self, event: ExplainEvent) -> None:
        if len(self._events) >= self._limit:
            del self._events[self._limit // 2]
            self._left_out += 1
        self._events.append(event)

    def take_over(self, data: bytes) -> None:
        """Go on from the log of an earlier process; lines that are no events are left out."""
        for line in data.splitlines():
            with suppress(msgspec.DecodeError):
                self._keep(msgspec.json.decode(line, type=ExplainEvent))

    def data(self) -> bytes:
        """The bytes of ``explain.jsonl``."""
        lines = [json_line(event) for event in self._events]
        if self._left_out:
            note = ExplainEvent(
                ts=self._events[-1].ts, event="explain_events_left_out", payload={"count": self._left_out}
            )
            lines.append(json_line(note))
        return b"".join(lines)
