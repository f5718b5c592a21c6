"""Step 2 of docs/DOOR.md: the facts, read afresh. Nothing in the verification is believed; it is only compared with."""

import math
from collections.abc import Mapping

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, VerifyItem
from modekeeper.cluster.audit.judge import POD, unreceipted
from modekeeper.cluster.audit.receipt_book import Book
from modekeeper.cluster.verify.compare import annotations_place, wanted_values
from modekeeper.cluster.verify.facts import Facts, ItemFacts
from modekeeper.cluster.verify.gather import gather
from modekeeper.cluster.verify.judge import judge as judge_facts
from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import JsonObject, ObjectRef
from modekeeper.model.decision import (
    Action,
    Actuation,
    CurrentValueSource,
    Plan,
    PlanItem,
    Proposal,
    RiskTier,
    Target,
)
from modekeeper.model.json_fields import text_at, whole_at
from modekeeper.model.mode import Mode
from modekeeper.passports.passport import Passport
from modekeeper.planning.plan import KNOB_ANNOTATION
from modekeeper.policy.chord_spec import find_chord
from modekeeper.policy.knobs import action_for, find_knob
from modekeeper.policy.promises import promise_no_worse
from modekeeper.policy.situation import KnownValue
from modekeeper_pro.door.case import ApplyRequest, ItemCase, WantedWrite
from modekeeper_pro.door.change import PODS, RECORD, Change, uid_of, values_at, version_of
from modekeeper_pro.door.looking import difference
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.records import PlannedWrite
from modekeeper_pro.door.runs import Runs
from modekeeper_pro.door.verification import Verification

__all__ = ["cluster_uid", "item_cases", "number_said"]

_NOT_THERE = frozenset({BlockerKind.NAMESPACE_MISSING, BlockerKind.DEPLOYMENT_MISSING})


def cluster_uid(facts: Facts | None) -> str | None:
    """The uid of the namespace ``kube-system``."""
    return text_at(facts.identity.value, "metadata", "uid") if facts is not None and facts.identity else None


def item_cases(
    ports: DoorPorts,
    request: ApplyRequest,
    *,
    plan: Plan,
    verification: Verification | None,
    passport: Passport | None,
    runs: Runs,
    switch: KillSwitch | None,
) -> tuple[tuple[ItemCase, ...], Facts]:
    """Every item with what is known of it, and the facts that was made from."""
    facts = gather(ports.reader, plan)
    fresh = judge_facts(facts).items
    verified = verification.report.items if verification is not None else ()
    ours = {(write.ref, write.uid, write.place): write.after for _past, write in runs.standing(plan.digest)}
    book = runs.book()
    cases: list[ItemCase] = []
    number = 1
    for index, (item_facts, seen) in enumerate(zip(facts.items, fresh, strict=True)):
        old = verified[index] if index < len(verified) else None
        wanted = _wanted(item_facts, number, ours)
        number += len(wanted)
        unknown, gate_case = _gate_case(
            ports,
            request,
            plan=plan,
            item=item_facts.item,
            values=old or seen,
            passport=passport,
            runs=runs,
            switch=switch,
        )
        cases.append(
            ItemCase(
                item=item_facts.item,
                gates=gate_case,
                unknown=unknown,
                verified=old,
                fresh=seen,
                wanted=wanted,
                differences=(*_unreceipted(wanted, book), *_differences(item_facts, seen, old, wanted)),
            )
        )
    return tuple(cases), facts


def _wanted(
    facts: ItemFacts, first: int, ours: Mapping[tuple[ObjectRef, str, tuple[str, ...]], dict[str, str | None]]
) -> tuple[WantedWrite, ...]:
    """The object first, then each live pod of a hot item."""
    found = facts.live.value if facts.live is not None else None
    if facts.ref is None or found is None:
        return ()
    item = facts.item
    targets: list[tuple[ObjectRef, tuple[str, ...], JsonObject]] = [(facts.ref, annotations_place(item.patch), found)]
    if item.actuation is Actuation.HOT:
        pods = facts.pods.value if facts.pods is not None else None
        if pods is None:
            return ()
        targets += [
            (ObjectRef(PODS, item.namespace, text_at(pod, "metadata", "name") or ""), RECORD, pod) for pod in pods
        ]
    writes: list[WantedWrite] = []
    for number, (ref, place, seen) in enumerate(targets, start=first):
        write = _write(item, facts.index, number, (ref, place, seen))
        mine = ours.get((ref, write.uid, place)) == write.after == write.before
        writes.append(WantedWrite(write=write, found=seen, ours_already=mine))
    return tuple(writes)


def _write(
    item: PlanItem, index: int, number: int, target: tuple[ObjectRef, tuple[str, ...], JsonObject]
) -> PlannedWrite:
    ref, place, found = target
    after: dict[str, str | None] = dict(wanted_values(item.patch))
    change = Change(
        ref=ref,
        place=place,
        values=tuple(sorted(after.items())),
        uid=uid_of(found) or "",
        resource_version=version_of(found) or "",
    )
    before = values_at(found, place, after)
    # The way back must be possible too, or there is no way.
    msgspec.structs.replace(change, values=tuple(sorted(before.items())))
    return PlannedWrite(
        number=number,
        item=index,
        kind=item.kind,
        workload=item.name,
        actuation=item.actuation,
        chord_id=item.chord_id,
        resource=ref.resource,
        namespace=item.namespace,
        name=ref.name,
        uid=change.uid,
        place=place,
        before=before,
        after=after,
        digest=change.digest(found),
    )


def _unreceipted(wanted: tuple[WantedWrite, ...], book: Book) -> tuple[str, ...]:
    """What carries our own name and was not written from this folder: by whom, nobody can say."""
    return tuple(
        f"{change.text}; the receipts are those of this folder"
        for each in wanted
        for change in unreceipted(POD if each.write.resource == PODS else each.write.kind, each.found, book)
    )


def _differences(
    facts: ItemFacts, fresh: VerifyItem, verified: VerifyItem | None, wanted: tuple[WantedWrite, ...]
) -> list[str]:
    """What is not as it was verified, and was not written by an earlier run of this plan."""
    found = [problem.detail for problem in fresh.problems if problem.kind in _NOT_THERE]
    if verified is None or not wanted:
        return found
    place = wanted[0]
    if not place.ours_already:
        if verified.generation != whole_at(place.found, "metadata", "generation"):
            found.append(f"{facts.item.kind}/{facts.item.name} was edited since it was verified")
        found.append(_against(place.write, verified.uid, verified.recorded_values, place.found))
    elif verified.uid != place.write.uid:
        found.append(_against(place.write, verified.uid, verified.recorded_values, place.found))
    listed = {pod.uid: pod.live_values for pod in verified.pods.listed} if verified.pods is not None else {}
    for each in wanted[1:]:
        if not each.ours_already:
            values = listed.get(each.write.uid, verified.live_values)
            found.append(_against(each.write, each.write.uid, values, each.found))
    return [text for text in found if text]


def _against(write: PlannedWrite, uid: str | None, values: dict[str, str | None], found: JsonObject) -> str:
    unsaid = sorted(set(write.after) - set(values))
    if unsaid:
        return f"{write.resource.kind}/{write.name}: what {', '.join(unsaid)} was is not in the verification"
    expected = {key: values[key] for key in write.after}
    return difference(msgspec.structs.replace(write, uid=uid or "", before=expected), found)


def _gate_case(
    ports: DoorPorts,
    request: ApplyRequest,
    *,
    plan: Plan,
    item: PlanItem,
    values: VerifyItem,
    passport: Passport | None,
    runs: Runs,
    switch: KillSwitch | None,
) -> tuple[tuple[str, ...], GateCase]:
    target = Target(namespace=item.namespace, kind=item.kind, name=item.name)
    known = (request.known or {}).get(target, {})
    said = runs.began(plan.digest, values.index) | _said(values)
    actions = tuple(_action(name, text, item.actuation, said, known) for name, text in sorted(item.knobs.items()))
    spec = find_chord(ports.catalog, item.chord_id)
    proposal = Proposal(
        policy="chord",
        chord_id=item.chord_id,
        mode=Mode.NORMAL,  # no gate asks: the plan does not say it
        risk_tier=RiskTier.ADVANCED if spec is None else spec.risk_tier,
        actions=actions,
        invariants=() if spec is None else spec.invariants,
        promise=promise_no_worse("step_time_ms", "lower"),
        reason="read from the plan",
    )
    unknown = tuple(action.knob for action in actions if math.isnan(action.current))
    case = GateCase(
        proposal=proposal,
        catalog=ports.catalog,
        limits=ports.limits,
        target=target,
        item_actuation=item.actuation,
        passport=passport,
        now_ms=int(ports.clock.now().timestamp() * 1000),
        planned_at_ms=runs.changed_at_ms(target, item.chord_id, besides=plan.digest),
        workload_changed_at_ms=runs.workload_changed_at_ms(target, besides=plan.digest),
        relocked_at_ms=runs.undone_at_ms(target),
        last_good=_numbers(runs.before(target)),
        approve_advanced=request.approve_advanced is True,
        approvals=request.approvals,
        kill_switch=switch,
    )
    return unknown, case


def _said(values: VerifyItem) -> dict[str, str]:
    """By annotation key, the one value a change starts from."""
    return {key: text for key, text in values.live_values.items() if text is not None}


def _action(
    name: str, text: str, actuation: Actuation, cluster: Mapping[str, str], known: Mapping[str, KnownValue]
) -> Action:
    """What the plan asks of one knob, from where it stands: the cluster's word before anybody else's.

    Where pods have no one value, because some carry the plan's already, ``cluster`` says from which one it began.
    """
    knob = find_knob(name)
    assert knob is not None  # noqa: S101 - the plan was parsed
    said = number_said(cluster.get(f"{KNOB_ANNOTATION}{name}"))
    told = known.get(name)
    source = CurrentValueSource.CLUSTER if said is not None or told is None else told.source
    current = said if said is not None else told.value if told is not None else float("nan")
    made = action_for(knob, current=current, source=source, target=float(text), reason="read from the plan")
    # A hot knob may be changed cold, which asks for more: approval, and a restart. Never the other way round.
    return made if actuation is Actuation.COLD else msgspec.structs.replace(made, actuation=actuation)


def _numbers(values: dict[str, str | None]) -> dict[str, float]:
    found = {key.removeprefix(KNOB_ANNOTATION): number_said(text) for key, text in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def number_said(text: str | None) -> float | None:
    """The number an annotation holds; ``None`` where it holds none."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
