"""Step 4 of docs/DOOR.md: each write once more as a dry run, by the writer that will make it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modekeeper.artifacts.contracts.k8s_verify import DryRunStatus
from modekeeper.cluster.rbac import is_rbac_denial
from modekeeper.cluster.verify.asking import Told
from modekeeper.cluster.verify.compare import dry_run_part
from modekeeper.cluster.verify.facts import DryRun
from modekeeper.model.cluster import (
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    JsonObject,
)
from modekeeper.model.decision import BlockReason
from modekeeper_pro.door.change import Change, uid_of, version_of
from modekeeper_pro.door.looking import current, difference
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.records import PlannedWrite

__all__ = ["Rehearsal", "rehearse"]

_ATTEMPTS = 5
_THREADS = 8
_MOVED = frozenset({404, 409})


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Of one write: the version it would change, or why it may not be made."""

    write: PlannedWrite
    version: str = ""
    reason: BlockReason | None = None
    detail: str = ""


def rehearse(
    ports: DoorPorts,
    writes: Mapping[int, tuple[PlannedWrite, JsonObject, frozenset[str] | None]],
    tried: Mapping[Change, DryRun] | None = None,
) -> dict[int, Rehearsal]:
    """Every write as a dry run.

    Args:
        ports: the outside.
        writes: by number: the write, the object as it was read, and the paths that admission was verified to change
            beside ours (``None``: nobody verified that, so it may change what it likes there).
        tried: dry runs of this apply that the writer has made already, by the change of one version of an object.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rehearsal")
    try:
        begun = {number: pool.submit(_rehearsed, ports, tried or {}, *each) for number, each in writes.items()}
        return {number: future.result() for number, future in begun.items()}
    finally:
        pool.shutdown(cancel_futures=True)


def _rehearsed(
    ports: DoorPorts,
    tried: Mapping[Change, DryRun],
    write: PlannedWrite,
    found: JsonObject,
    beside: frozenset[str] | None,
) -> Rehearsal:
    seen: JsonObject | None = found
    why = ""
    for _attempt in range(_ATTEMPTS):
        version = version_of(seen) or ""
        if seen is None or uid_of(seen) != write.uid or write.change(version).digest(seen) != write.digest:
            return Rehearsal(write=write, reason=BlockReason.TARGET_CHANGED, detail=difference(write, seen))
        change = write.change(version)
        try:
            said = tried.get(change) or DryRun(before=seen, after=ports.writer.dry_run(change))
            return _compared(write, version, said, beside)
        except ClusterAnswerError as error:
            why = str(error)
            if is_rbac_denial(error):
                return Rehearsal(write=write, reason=BlockReason.RBAC_DENIED, detail=why)
            if error.status not in _MOVED:
                break
            seen = current(ports, write.ref)
        except (ClusterUnreachableError, ClusterConfigError) as error:
            why = str(error)
            break
    return Rehearsal(write=write, reason=BlockReason.EFFECT_UNKNOWN, detail=f"the dry run failed: {why}")


def _compared(write: PlannedWrite, version: str, tried: DryRun, beside: frozenset[str] | None) -> Rehearsal:
    """The answer against what was asked, and against what the verification said."""
    change = write.change(version)
    name = f"{write.resource.kind}/{write.name}"
    if uid_of(tried.after.object) != write.uid or not change.holds(tried.after.object):
        text = f"{name}: admission changes what was asked for"
        return Rehearsal(write=write, reason=BlockReason.EFFECT_UNKNOWN, detail=text)
    part = dry_run_part(change.plain_patch, Told(value=tried))
    more = [] if beside is None else [path for path in part.also_changes if path not in beside]
    if part.status is not DryRunStatus.ACCEPTED or more:
        text = f"{name}: admission would also change {', '.join(more) or 'something'}, which was not verified"
        return Rehearsal(write=write, reason=BlockReason.EFFECT_UNKNOWN, detail=text)
    return Rehearsal(write=write, version=version)
