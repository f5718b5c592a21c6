"""Lines of many logs in one order: that of their times, however they are handed over, looked for and taken."""

import heapq
import threading
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from modekeeper.telemetry.pods.collator import Collator, Inbox, Item, ItemKind
from modekeeper.telemetry.pods.cursor import LogCursor, LogPlace, Resumption, Stamped

TIMES = st.lists(st.integers(1, 12), max_size=12)
LOGS = st.lists(TIMES, min_size=1, max_size=5)
"""A few times only, not always in order: lines of one time, and lines that are older than those before them."""


def lines(log: int, times: Sequence[int]) -> list[Item]:
    return [Item(ns, ItemKind.LINE, f"{log}/{at}".encode()) for at, ns in enumerate(times)]


def merged(logs: Sequence[Sequence[Item]]) -> list[Item]:
    """The head that is first by time, and of those the first log's, again and again."""
    places = [0] * len(logs)
    heads = [(log[0].ns, number) for number, log in enumerate(logs) if log]
    heapq.heapify(heads)
    found = []
    while heads:
        _, number = heapq.heappop(heads)
        found.append(logs[number][places[number]])
        places[number] += 1
        if places[number] < len(logs[number]):
            heapq.heappush(heads, (logs[number][places[number]].ns, number))
    return found


@given(logs=LOGS, data=st.data(), most=st.integers(1, 8), buffer=st.integers(1, 40))
def test_the_order_is_that_of_the_heads_however_lines_come_and_go(
    logs: list[list[int]], data: st.DataObject, most: int, buffer: int
) -> None:
    collator = Collator()
    inboxes = [Inbox(str(number), (f"{number:02}",), buffer) for number in range(len(logs))]
    for inbox in data.draw(st.permutations(inboxes)):
        collator.add(inbox)
    waiting = [[*lines(number, times), Item(13, ItemKind.END, b"")] for number, times in enumerate(logs)]
    expected = merged(waiting)
    taken: list[Item] = []
    while any(waiting):
        number = data.draw(st.sampled_from([number for number, items in enumerate(waiting) if items]))
        count = data.draw(st.integers(1, len(waiting[number])))
        done = collator.put(inboxes[number], waiting[number][:count], wait=False)
        del waiting[number][:done]
        if data.draw(st.booleans()) or not done:
            taken += [item for _, _, item in collator.take(most)]
    while len(collator):
        taken += [item for _, _, item in collator.take(most)]
    assert taken == expected
    assert all(inbox.bytes == 0 and not inbox.items for inbox in inboxes)


@given(logs=LOGS, until=st.integers(0, 13))
def test_nothing_later_is_taken_than_was_asked_for(logs: list[list[int]], until: int) -> None:
    collator = Collator()
    for number, times in enumerate(logs):
        inbox = Inbox(str(number), (f"{number:02}",), 1 << 20)
        inbox.awaited = False
        collator.add(inbox)
        collator.put(inbox, lines(number, times), wait=False)
    taken = []
    while batch := collator.take(4, until):
        taken += batch
    assert all(item.ns <= until for _, _, item in taken)
    rest = []
    while batch := collator.take(4):
        rest += batch
    assert [item for _, _, item in [*taken, *rest]] == merged([lines(n, times) for n, times in enumerate(logs)])


def test_whoever_waits_for_room_is_told_when_there_is_some() -> None:
    collator = Collator()
    inbox = Inbox("a", ("a",), 10)
    collator.add(inbox)
    items = [Item(at, ItemKind.LINE, b"12345") for at in range(1, 201)]
    handed: list[int] = []
    reader = threading.Thread(target=lambda: handed.append(collator.put(inbox, items, wait=True)))
    reader.start()
    taken: list[Item] = []
    while len(taken) < len(items):
        assert inbox.bytes <= 10
        taken += [item for _, _, item in collator.take(1)]
        collator.wait(0.05)
    reader.join(5)
    assert handed == [200]
    assert taken == items


@given(
    first=st.lists(st.integers(1, 9), max_size=6),
    batches=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=12).map(sorted), max_size=4),
)
def test_many_lines_move_a_place_as_one_after_the_other(first: list[int], batches: list[list[int]]) -> None:
    one_by_one, together = LogCursor(), LogCursor()
    for ns in first:
        one_by_one.advance(ns, b"%d" % ns)
        together.advance(ns, b"%d" % ns)
    for batch in batches:
        for at, ns in enumerate(batch):
            one_by_one.advance(ns, b"%d %d" % (ns, at))
        together.advance_all(batch, b"%d %d" % (batch[-1], len(batch) - 1))
        assert together.place == one_by_one.place


@given(
    taken=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    again=st.lists(st.integers(1, 9), max_size=12),
    new=st.lists(st.integers(5, 15), max_size=6),
    cuts=st.lists(st.integers(1, 5), max_size=8),
)
def test_how_lines_come_together_makes_no_difference_to_which_are_new(
    taken: list[int], again: list[int], new: list[int], cuts: list[int]
) -> None:
    cursor = LogCursor()
    for ns in taken:
        cursor.advance(ns, b"%d" % ns)
    place = cursor.place
    come: list[Stamped] = [(ns, b"%d" % ns) for ns in [*again, *new]]
    assert sifted(place, come, cuts) == sifted(place, come, [1] * len(come))


def sifted(place: LogPlace | None, come: list[Stamped], cuts: list[int]) -> tuple[list[Stamped], int | None, bool]:
    """What is new, how much of it had come before the last line was known to be lost, and whether it was found."""
    resumption = Resumption(place)
    found: list[Stamped] = []
    lost_at = None
    rest = come
    for cut in [*cuts, len(come)]:
        batch, rest = rest[:cut], rest[cut:]
        for new, lost_now in resumption.sift(batch):
            if lost_now:
                assert lost_at is None
                lost_at = len(found)
            found += new
    return [*found, *resumption.end()], lost_at, resumption.found
