"""The state machine as a diagram and as a table, from the same edges that run it."""

import re
from collections.abc import Sequence
from typing import Protocol

from modekeeper.model.mode import Mode
from modekeeper.reports.markdown import escaped

__all__ = ["DiagramEdge", "edge_table", "mermaid"]

_WORDS = re.compile(r"[^\w .,()-]+")


class DiagramEdge(Protocol):
    """What is drawn of an edge."""

    @property
    def from_mode(self) -> Mode:
        """The mode that is left."""
        ...

    @property
    def to_mode(self) -> Mode:
        """The mode that is entered."""
        ...

    @property
    def guard(self) -> str:
        """Name of the condition."""
        ...

    @property
    def hold_samples(self) -> int:
        """For so many samples the condition must have been true."""
        ...

    @property
    def dwell_samples(self) -> int:
        """For so many samples the machine must have been in ``from_mode``."""
        ...

    @property
    def meaning(self) -> str:
        """The edge in words."""
        ...


def mermaid(edges: Sequence[DiagramEdge], start: Mode = Mode.NORMAL) -> str:
    """A Mermaid ``stateDiagram-v2`` of ``edges``, which begins in ``start``."""
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    for edge in edges:
        held = f" for {edge.hold_samples} samples" if edge.hold_samples else ""
        label = _WORDS.sub(" ", f"{edge.guard.replace('_', ' ')}{held}").strip()
        lines.append(f"    {edge.from_mode} --> {edge.to_mode}: {label}")
    return "\n".join(lines) + "\n"


def edge_table(edges: Sequence[DiagramEdge]) -> str:
    """The edges as a Markdown table, in the order in which they are tried."""
    lines = [
        "| from | to | when | true for, samples | in the mode for, samples | meaning |",
        "|---|---|---|---:|---:|---|",
    ]
    lines += [
        f"| {edge.from_mode} | {edge.to_mode} | `{_WORDS.sub(' ', edge.guard)}` | {edge.hold_samples} "
        f"| {edge.dwell_samples} | {escaped(edge.meaning)} |"
        for edge in edges
    ]
    return "\n".join(lines) + "\n"
