"""Take a plan back, from the files on disk. The same steps; no licence is needed, and the kill-switch stops it too."""

from dataclasses import dataclass

import msgspec

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, Operation
from modekeeper.artifacts.contracts.k8s_verify import ClusterIdentity
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.verify.facts import NAMESPACES
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import JsonObject, ObjectRef
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.model.json_fields import text_at
from modekeeper_pro.door.change import PODS, uid_of, version_of
from modekeeper_pro.door.looking import current, difference, looked
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.records import PlannedWrite, RunRecord, Undoes, with_digest
from modekeeper_pro.door.rehearsal import Rehearsal, rehearse
from modekeeper_pro.door.runs import PastRun, Runs, locked, settled
from modekeeper_pro.door.writing import Outcome, perform

__all__ = ["TakenBack", "rollback"]

_KUBE_SYSTEM = "kube-system"


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """What a rollback did, or why it did nothing. ``report.rollback_report`` makes the artifact of it."""

    plan_digest: str | None
    """``None``: there is nothing to take back."""
    kill_switch: KillSwitch
    cluster: ClusterIdentity | None
    verdicts: tuple[Verdict, ...]
    record: RunRecord | None = None
    """``None``: nothing was begun."""
    outcomes: tuple[Outcome, ...] = ()
    """Of every write of the plan that still stood, the last one first. Those that are refused were changed by
    somebody else, or are gone."""

    @property
    def ok(self) -> bool:
        """Everything that could be taken back is back."""
        passed = all(verdict.passed for verdict in self.verdicts)
        return passed and all(each.status is ApplyStatus.DONE for each in self.outcomes)


def rollback(plan_digest: str | None, ports: DoorPorts) -> TakenBack:
    """Take back what the plan with this digest wrote; ``None``: the plan that wrote last.

    Only our own keys, and only where they still hold what was written.

    Raises:
        RefusedError: another apply or rollback works in the same folder.
        FailedError: the disk does not take, or no longer has, what must be on it; nothing more is written then.
        ClusterUnreachableError: the cluster does not answer; nothing was written.
    """
    with locked(ports):
        # Step 1: the records on disk, as strictly as anything from outside. Step 2: fresh facts.
        runs = settled(ports)
        digest = plan_digest or _last(runs)
        standing = list(reversed(runs.standing(digest))) if digest is not None else []
        switch = looked(ports, [write.namespace for _past, write in standing])
        cluster = _identity(ports) if standing else None
        # Step 3: the gates of a rollback: the kill-switches, and the cluster the plan was applied to.
        verdicts = _verdicts(switch, cluster, standing)
        taken = TakenBack(plan_digest=digest, kill_switch=switch, cluster=cluster, verdicts=verdicts)
        if not all(verdict.passed for verdict in verdicts) or digest is None or cluster is None or not standing:
            return taken
        return _taken_back(ports, runs, digest, standing, taken)


def _taken_back(
    ports: DoorPorts, runs: Runs, digest: str, standing: list[tuple[PastRun, PlannedWrite]], taken: TakenBack
) -> TakenBack:
    refused: list[Outcome] = []
    ready: dict[int, tuple[PlannedWrite, JsonObject, frozenset[str] | None]] = {}
    for past, write in standing:
        inverse, found = _inverse(past, write, len(ready) + 1), current(ports, write.ref)
        gone = found is None or uid_of(found) != write.uid
        if found is None or gone or (text := difference(inverse, found)):
            refused.append(_not_ours(inverse, "" if gone else text, gone=gone))
            continue
        inverse = msgspec.structs.replace(inverse, digest=inverse.change(version_of(found) or "").digest(found))
        ready[inverse.number] = (inverse, found, None)
    # Step 4: dry-run again.
    rehearsed = rehearse(ports, ready)
    refused += [_refused(ports, each) for each in rehearsed.values() if each.reason is not None]
    good = [each for each in rehearsed.values() if each.reason is None]
    if not good:
        return _with(taken, None, tuple(refused))
    # Steps 5 to 7, as for an apply.
    now = ports.clock.now()
    writes = tuple(msgspec.structs.replace(each.write, number=n) for n, each in enumerate(good, start=1))
    record = with_digest(
        RunRecord(
            run=runs.next_run,
            operation=Operation.ROLLBACK,
            plan_digest=digest,
            verification_digest=None,
            cluster_uid=taken.cluster.uid or "" if taken.cluster is not None else "",
            begun_at=iso_utc(now),
            begun_at_ms=int(now.timestamp() * 1000),
            writes=writes,
        )
    )
    outcomes = perform(ports, record, dict(enumerate((each.version for each in good), start=1)))
    return _with(taken, record, (*outcomes, *refused))


def _refused(ports: DoorPorts, rehearsal: Rehearsal) -> Outcome:
    """A write that cannot be made; of a pod that went away in the meantime there is none to make."""
    write = rehearsal.write
    if write.resource == PODS and rehearsal.reason is BlockReason.TARGET_CHANGED:
        found = current(ports, write.ref)
        if found is None or uid_of(found) != write.uid:
            return _not_ours(write, "", gone=True)
    return Outcome(write=write, status=ApplyStatus.REFUSED, reason=rehearsal.reason, detail=rehearsal.detail)


def _with(taken: TakenBack, record: RunRecord | None, outcomes: tuple[Outcome, ...]) -> TakenBack:
    return TakenBack(
        plan_digest=taken.plan_digest,
        kill_switch=taken.kill_switch,
        cluster=taken.cluster,
        verdicts=taken.verdicts,
        record=record,
        outcomes=outcomes,
    )


def _inverse(past: PastRun, write: PlannedWrite, number: int) -> PlannedWrite:
    return msgspec.structs.replace(
        write,
        number=number,
        before=write.after,
        after=write.before,
        digest="",
        undoes=Undoes(run=past.record.run, number=write.number),
    )


def _not_ours(inverse: PlannedWrite, text: str, *, gone: bool) -> Outcome:
    """A pod that is gone took its annotations with it: nothing is left to take back. Anything else is refused."""
    name = f"{inverse.resource.kind}/{inverse.name}"
    if gone and inverse.resource == PODS:
        return Outcome(write=inverse, status=ApplyStatus.DONE, detail=f"{name} is gone, and what it was told with it")
    detail = f"{name} is not the object that was changed any more" if gone else text
    return Outcome(write=inverse, status=ApplyStatus.REFUSED, reason=BlockReason.TARGET_CHANGED, detail=detail)


def _last(runs: Runs) -> str | None:
    """The plan that wrote last, and of which something still stands."""
    for past in reversed(runs.past):
        if past.record.operation is Operation.APPLY and runs.standing(past.record.plan_digest):
            return past.record.plan_digest
    return None


def _verdicts(
    switch: KillSwitch, cluster: ClusterIdentity | None, standing: list[tuple[PastRun, PlannedWrite]]
) -> tuple[Verdict, ...]:
    active = switch.active is not False
    reason = BlockReason.KILL_SWITCH_ACTIVE if active else None
    detail = f"{switch.signal} is set: nothing is changed" if active else ""
    verdicts = [Verdict(gate="kill_switch", passed=not active, reason=reason, detail=detail)]
    if standing:
        uids = {past.record.cluster_uid for past, _write in standing}
        here = cluster is not None and cluster.uid is not None and uids == {cluster.uid}
        verdicts.append(
            Verdict(
                gate="cluster",
                passed=here,
                reason=None if here else BlockReason.VERIFY_CLUSTER_MISMATCH,
                detail="" if here else "the plan was applied to another cluster, or which one this is is not known",
            )
        )
    return tuple(verdicts)


def _identity(ports: DoorPorts) -> ClusterIdentity:
    context = ports.reader.context
    found = current(ports, ObjectRef(NAMESPACES, None, _KUBE_SYSTEM))
    return ClusterIdentity(
        server=context.server, context=context.name, user=context.user, uid=text_at(found, "metadata", "uid")
    )
