"""Apply a verified plan. The steps have the numbers of docs/DOOR.md; there is no way around one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, LicensePart, Operation
from modekeeper.artifacts.contracts.k8s_verify import ClusterIdentity
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.verify.facts import Facts
from modekeeper.model.decision import Plan, Verdict
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse import parse_plan
from modekeeper_pro.door.case import ApplyRequest, DoorCase, ItemCase
from modekeeper_pro.door.gates import block_reasons, judge
from modekeeper_pro.door.gathering import cluster_uid, item_cases
from modekeeper_pro.door.looking import looked
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.records import PlannedWrite, RunRecord, with_digest
from modekeeper_pro.door.rehearsal import Rehearsal, rehearse
from modekeeper_pro.door.runs import Runs, locked, settled
from modekeeper_pro.door.verification import Verification, parse_verification
from modekeeper_pro.door.way_back import write_way_back
from modekeeper_pro.door.writing import Outcome, perform

__all__ = ["Applied", "apply"]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply did, or why it did nothing. ``report.apply_report`` makes the artifact of it."""

    case: DoorCase
    verdicts: tuple[Verdict, ...]
    """Of the mandatory gates, and of the rehearsal where it stopped something."""
    cluster: ClusterIdentity | None
    record: RunRecord | None = None
    """``None``: nothing was begun."""
    outcomes: tuple[Outcome, ...] = ()

    @property
    def ok(self) -> bool:
        """Every item is done, by this run or an earlier one."""
        return not block_reasons(self.verdicts) and all(each.status is ApplyStatus.DONE for each in self.outcomes)


def apply(request: ApplyRequest, ports: DoorPorts) -> Applied:
    """Apply the plan of ``request``, or say why not.

    Raises:
        RefusedError: another apply or rollback works in the same folder.
        FailedError: the disk does not take, or no longer has, what must be on it; nothing more is written then.
        ClusterUnreachableError: a killed run left a write open, and the cluster does not say how it ended.
    """
    with locked(ports):
        # Step 1: parse and validate both.
        plan, plan_fault = _parsed_plan(request.plan)
        verification, verification_fault = _parsed_verification(request.verification)
        # Step 2: fresh facts, gathered by the door itself; first of all, how a killed run ended.
        runs = settled(ports)
        case, facts = _case(request, ports, runs, (plan, plan_fault), (verification, verification_fault))
        # Step 3: every mandatory gate.
        verdicts = judge(case)
        applied = Applied(case=case, verdicts=verdicts, cluster=_identity(facts))
        if block_reasons(verdicts) or plan is None or case.cluster_uid is None:
            return applied
        # Step 4: dry-run again, and compare the answer.
        rehearsed = rehearse(ports, _to_rehearse(case.items))
        if stops := _stops(rehearsed):
            return replace(applied, verdicts=(*verdicts, *stops))
        # Steps 5 to 7: the way back on the disk; the writes, each after a look at the kill-switches; the receipts.
        record = _record(ports, runs, plan, case, [each.write for each in rehearsed.values()])
        if not record.writes:
            return applied
        write_way_back(ports.files, plan, case.items, runs, ports.clock.now())
        versions = dict(enumerate((each.version for each in rehearsed.values()), start=1))
        return replace(applied, record=record, outcomes=perform(ports, record, versions))


def _parsed_plan(data: bytes) -> tuple[Plan | None, str | None]:
    try:
        return parse_plan(data), None
    except BadInputError as error:
        return None, str(error)


def _parsed_verification(data: bytes | None) -> tuple[Verification | None, str | None]:
    if data is None:
        return None, None
    try:
        return parse_verification(data), None
    except BadInputError as error:
        return None, str(error)


def _case(
    request: ApplyRequest,
    ports: DoorPorts,
    runs: Runs,
    plan: tuple[Plan | None, str | None],
    verification: tuple[Verification | None, str | None],
) -> tuple[DoorCase, Facts | None]:
    namespaces = [item.namespace for item in plan[0].items] if plan[0] is not None else []
    switch = looked(ports, namespaces)
    items: tuple[ItemCase, ...] = ()
    facts: Facts | None = None
    if plan[0] is not None:
        items, facts = item_cases(ports, request, plan=plan[0], verification=verification[0], runs=runs, switch=switch)
    uid = cluster_uid(facts)
    case = DoorCase(
        now=ports.clock.now(),
        kill_switch=switch,
        licence=_licence(ports, uid),
        pro_installed=True,  # this is it
        plan=plan[0],
        plan_fault=plan[1],
        verification=verification[0],
        verification_fault=verification[1],
        cluster_uid=uid,
        items=items,
    )
    return case, facts


def _licence(ports: DoorPorts, uid: str | None) -> LicensePart | None:
    """The verdict; ``None`` where there is none, which stops the change."""
    try:
        return ports.licence.check(uid)
    except Exception:  # noqa: BLE001 - whatever breaks there allows nothing
        return None


def _to_rehearse(items: Sequence[ItemCase]) -> dict[int, tuple[PlannedWrite, dict[str, object], frozenset[str]]]:
    found: dict[int, tuple[PlannedWrite, dict[str, object], frozenset[str]]] = {}
    for item in items:
        verified = item.verified
        of_object = frozenset(verified.dry_run.also_changes) if verified is not None else frozenset()
        pods = verified.pods if verified is not None else None
        of_pods = frozenset(pods.dry_run.also_changes) if pods is not None else frozenset()
        for place, each in enumerate(item.wanted):
            if not each.ours_already:
                found[each.write.number] = (each.write, each.found, of_pods if place else of_object)
    return found


def _stops(rehearsed: dict[int, Rehearsal]) -> list[Verdict]:
    return [
        Verdict(gate="rehearsal", passed=False, reason=each.reason, detail=each.detail)
        for each in rehearsed.values()
        if each.reason is not None
    ]


def _record(ports: DoorPorts, runs: Runs, plan: Plan, case: DoorCase, writes: Sequence[PlannedWrite]) -> RunRecord:
    now = ports.clock.now()
    report = case.verification.report if case.verification is not None else None
    numbered = tuple(msgspec.structs.replace(write, number=number) for number, write in enumerate(writes, start=1))
    return with_digest(
        RunRecord(
            run=runs.next_run,
            operation=Operation.APPLY,
            plan_digest=plan.digest,
            verification_digest=report.verification_digest if report is not None else None,
            cluster_uid=case.cluster_uid or "",
            begun_at=iso_utc(now),
            begun_at_ms=int(now.timestamp() * 1000),
            writes=numbered,
        )
    )


def _identity(facts: Facts | None) -> ClusterIdentity | None:
    if facts is None:
        return None
    context = facts.context
    return ClusterIdentity(server=context.server, context=context.name, user=context.user, uid=cluster_uid(facts))
