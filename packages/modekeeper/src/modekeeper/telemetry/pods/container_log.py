"""One pass over the log of one container, from where the last pass ended.

The log of a container that was started again is another one; what is left of the one before can be read as the
``previous`` log. Which of the two a connection gives is told by what comes: the last line taken is in it, or not.
"""

import contextlib
import math
from collections.abc import Generator, Iterator
from enum import Enum
from typing import NamedTuple

from modekeeper.model.cluster import ClusterAnswerError, LogQuestion, ObjectRef
from modekeeper.ports.clock import StopSignal
from modekeeper.ports.cluster import ClusterReader
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.lines import LineSplitter, LongLine
from modekeeper.telemetry.pods.collator import Collator, Inbox, Item, ItemKind
from modekeeper.telemetry.pods.cursor import LogCursor, LogPlace, Resumption, Stamped
from modekeeper.telemetry.pods.facts import PodFacts, mapping, text_of
from modekeeper.telemetry.pods.selection import PODS
from modekeeper.telemetry.pods.stamps import stamp_of

__all__ = ["ContainerLog", "PassEnd"]

BAD_REQUEST, FORBIDDEN, NOT_FOUND = 400, 403, 404


class PassEnd(Enum):
    """How a pass ended."""

    QUIET = "quiet"
    """Everything there was has been handed over."""
    FULL = "full"
    """There was no room for more, or reading was stopped."""
    AGAIN = "again"
    """Something happened meanwhile that only another pass can tell."""
    GONE = "gone"
    """The pod is not there any more, or another one has its name."""


class ContainerLog:
    """The log of one container, all its instances one behind the other.

    Args:
        reader: the cluster.
        facts: which container.
        collator: takes the lines.
        inbox: where in the collator.
        max_line_bytes: longer lines are cut.
        since_s: only lines of the last so many seconds, where nothing has been taken yet.
        place: where an earlier process came to.
        previous_first: an instance before the present one is known to have run.
        identity_known: nobody else reads a pod of that name, so nobody has to ask whose the first line is.
    """

    def __init__(
        self,
        reader: ClusterReader,
        facts: PodFacts,
        collator: Collator,
        inbox: Inbox,
        *,
        max_line_bytes: int,
        since_s: int | None,
        place: LogPlace | None = None,
        previous_first: bool = False,
        identity_known: bool = False,
    ) -> None:
        self.facts = facts
        self.inbox = inbox
        self.cursor = LogCursor(place)
        self.waited_s = 0.0
        """How much has been waited since the first pass began: so much further back the next one has to look."""
        self._reader = reader
        self._collator = collator
        self._max_line_bytes = max_line_bytes
        self._since_s = since_s
        self._previous_first = previous_first
        self._checked = identity_known
        self._last_ns = place.times[-1][0] if place else 0
        self.node_said: str | None = None
        """A line without a time is none of the container: the node says what is wrong."""

    def read(self, stop: StopSignal, *, follow: bool, wait: bool, last: bool = False) -> PassEnd:
        """Hand over what is new.

        Args:
            stop: when to stop.
            follow: go on until the container ends or the connection is lost.
            wait: for room where there is none; else the pass ends there.
            last: nothing more is written, so a line without an end is all there will be of it.

        Raises:
            ClusterUnreachableError: the connection was lost. What has been handed over is not handed over again.
            ClusterAnswerError: the API said no, but for a pod that is gone.
        """
        how = _Pass(stop=stop, follow=follow, wait=wait, last=last)
        try:
            if self._previous_first and self.cursor.place is None:
                end, _ = self._previous(how)
                if end is not PassEnd.QUIET:
                    return end
            # From now on an instance may come and go unseen.
            self._previous_first = True
            return self._current(how)
        except ClusterAnswerError as error:
            if error.status == NOT_FOUND:
                return PassEnd.GONE
            raise

    def put_gap(self, why: str) -> None:
        """Say that lines may be missing here."""
        self._put(Item(self._last_ns, ItemKind.GAP, why.encode()))

    def put_end(self) -> None:
        """Say that nothing more comes."""
        self._put(Item(self._last_ns, ItemKind.END, b""))

    # One pass

    def _current(self, how: "_Pass") -> PassEnd:
        place = self.cursor.place
        resumption = Resumption(place)
        with contextlib.closing(self._lines(how, previous=False)) as lines:
            for some in lines:
                if place is None and not self._is_known():
                    return PassEnd.GONE
                for new, lost_now in resumption.sift(some):
                    if lost_now:
                        end = self._find_out(how)
                        if end is not PassEnd.QUIET:
                            return end
                    if not self._hand_over(new, how):
                        return PassEnd.FULL
        if how.stop.is_set() or not self._hand_over(resumption.end(), how):
            return PassEnd.FULL
        return PassEnd.QUIET

    def _find_out(self, how: "_Pass") -> PassEnd:
        """New lines have come without the last one taken: whether the container was started again, or what else."""
        if not self._is_known(again=True):
            return PassEnd.GONE
        end, found = self._previous(how)
        if end is PassEnd.QUIET and not found:
            self.put_gap(
                "the last line read is in no log any more: rotated away, or the container was started again twice"
            )
        return end

    def _previous(self, how: "_Pass") -> tuple[PassEnd, bool]:
        """Read what is left of the instance before the present one; and whether the last line taken was of it."""
        place = self.cursor.place
        resumption = Resumption(place)
        try:
            with contextlib.closing(self._lines(how, previous=True)) as lines:
                for some in lines:
                    if place is None and not self._is_known():
                        return PassEnd.GONE, False
                    for new, lost_now in resumption.sift(some):
                        if lost_now:
                            self.put_gap("the container was started again more than once while nobody read its log")
                        if not self._hand_over(new, how):
                            return PassEnd.FULL, False
        except ClusterAnswerError as error:
            if error.status == BAD_REQUEST:
                return PassEnd.QUIET, False
            raise
        if how.stop.is_set() or not self._hand_over(resumption.end(), how):
            return PassEnd.FULL, False
        # Which instance it was is told by the next pass, which looks for the last line of this one.
        return (PassEnd.AGAIN if resumption.lost else PassEnd.QUIET), resumption.found

    def _lines(self, how: "_Pass", *, previous: bool) -> Generator[list[Stamped]]:
        """Lines that came together, never none."""
        splitter = LineSplitter(self._max_line_bytes)
        with contextlib.closing(
            _closable(self._reader.logs(self._question(how, previous=previous), how.stop))
        ) as chunks:
            for chunk in chunks:
                if some := self._stamped(splitter.feed(chunk).lines):
                    yield some
        is_whole = (how.last or previous) and not how.stop.is_set()
        if is_whole and (some := self._stamped(splitter.finish().lines)):
            yield some

    def _stamped(self, lines: list[bytes]) -> list[Stamped]:
        found: list[Stamped] = []
        for line in lines:
            ns = stamp_of(line)
            if ns is None:
                self.node_said = escape(line)
            else:
                found.append((ns, line))
        return found

    def _question(self, how: "_Pass", *, previous: bool) -> LogQuestion:
        place = self.cursor.place
        since_s = None
        if place is None and self._since_s is not None:
            since_s = self._since_s + math.ceil(self.waited_s)
        return LogQuestion(
            namespace=self.facts.namespace,
            pod=self.facts.pod,
            container=self.facts.container,
            since_time=None if place is None else place.since,
            since_s=since_s,
            follow=how.follow and not previous,
            previous=previous,
            timestamps=True,
        )

    def _is_known(self, *, again: bool = False) -> bool:
        """Whether the pod of that name is still the one that is meant: only then are the lines its own."""
        if self._checked and not again:
            return True
        ref = ObjectRef(PODS, self.facts.namespace, self.facts.pod)
        try:
            uid = text_of(mapping(self._reader.get(ref).get("metadata")).get("uid"))
        except ClusterAnswerError as error:
            if error.status == NOT_FOUND:
                return False
            if error.status != FORBIDDEN:
                raise
            uid = self.facts.uid
        self._checked = uid == self.facts.uid
        return self._checked

    # Handing over

    def _hand_over(self, lines: list[tuple[int, bytes]], how: "_Pass") -> bool:
        if not lines:
            return True
        times = [ns for ns, _ in lines]
        kinds = [ItemKind.LONG_LINE if isinstance(line, LongLine) else ItemKind.LINE for _, line in lines]
        items = list(map(Item._make, zip(times, kinds, (line for _, line in lines), strict=True)))
        done = self._collator.put(self.inbox, items, wait=how.wait)
        if done:
            self._last_ns, last = lines[done - 1]
            self.cursor.advance_all(times[:done], last)
        return done == len(lines)

    def _put(self, item: Item) -> None:
        self._collator.put(self.inbox, [item], wait=True)


class _Pass(NamedTuple):
    """How to read this time: see ``ContainerLog.read``."""

    stop: StopSignal
    follow: bool
    wait: bool
    last: bool


def _closable(chunks: Iterator[bytes]) -> Generator[bytes]:
    """The chunks as something that lets go of the connection when it is closed."""
    try:
        yield from chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
