"""Artifacts under their two names: one that sorts by time, one that is always the newest."""

from datetime import datetime
from typing import Any

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import file_stamp, iso_utc

__all__ = ["path_in", "publish_json", "times"]


def publish_json(store: FolderStore, name: str, report: Any, when: datetime) -> str:
    """Write ``<name>_<timestamp>.json`` and ``<name>_latest.json``; the path of the latter."""
    stamped, latest = f"{name}_{file_stamp(when)}.json", f"{name}_latest.json"
    store.write_bytes(stamped, document(report))
    store.also_as(stamped, latest)
    return path_in(store, latest)


def path_in(store: FolderStore, name: str) -> str:
    """The path of an artifact as reports carry it: below the folder as the user named it."""
    return (store.root / name).as_posix()


def times(started: datetime, finished: datetime) -> dict[str, Any]:
    """The three fields every report carries."""
    return {
        "started_at": iso_utc(started),
        "finished_at": iso_utc(finished),
        "duration_s": max(0, int((finished - started).total_seconds())),
    }
