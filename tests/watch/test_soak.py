"""A long session neither grows nor slows down. Ratios only: machines differ."""

import os
from pathlib import Path

import pytest
from benchmarks.soak.watch_soak import ends, soak, table

SHARE = float(os.environ.get("MODEKEEPER_HEAVY_SHARE", "1.0"))


def test_a_short_session_is_measured(tmp_path: Path) -> None:
    """The benchmark itself works: counts, not times."""
    found = soak(tmp_path, hours=0.5, interval_s=60, keep=5)
    assert len(found.rss_mb) == len(found.cpu_ms) == 30
    assert found.records > 1700
    assert found.transitions > 0
    assert found.warm_up == 5
    assert "resident memory" in table(found)


@pytest.mark.heavy
def test_two_days_and_a_half_of_watch_are_flat(tmp_path: Path) -> None:
    found = soak(tmp_path, hours=max(2.0, 60.0 * SHARE), interval_s=120, keep=50)
    print(table(found))
    # Before everything that is bounded is full, reports grow with what they have to tell.
    most = 1.15 if found.full else 1.6
    first_ms, last_ms = ends(found.steady(found.cpu_ms))
    assert last_ms < most * first_ms
    first_mb, last_mb = ends(found.steady(found.rss_mb))
    assert last_mb < (1.05 if found.full else 1.15) * first_mb
    late = found.disk_mb[-len(found.disk_mb) // 4 :]
    assert max(late) < 1.25 * min(late)
    if SHARE >= 1:
        assert found.full
