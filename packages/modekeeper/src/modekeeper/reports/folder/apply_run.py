"""The folder of one attempt to apply a plan or to take it back: bundle, way back, explain log and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.bundle import PolicyBundle, PolicyPart, Provenance, RollbackPart
from modekeeper.artifacts.contracts.k8s_apply import (
    ApplyChecks,
    ApplyItem,
    ApplyStatus,
    ApprovalPart,
    K8sApplyReport,
    Operation,
)
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.contracts.parts import PassportPart
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.gates.plan_on_file import ordered_reasons
from modekeeper.model.decision import BlockReason, Plan, PlanItem, Target, Verdict
from modekeeper.model.errors import ModeKeeperError
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.planning.plan import knob_annotations
from modekeeper.planning.undo import RollbackItem, RollbackPlan, rollback_plan
from modekeeper.policy.catalog import catalog_digest, load_default
from modekeeper.policy.knobs import registry_digest
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.reports.folder.watch_state import STATE_NAME

__all__ = ["UNDO", "ApplyAsked", "ApplyRun"]

UNDO = "rollback_plan_latest.json"


@dataclass(frozen=True, kw_only=True)
class ApplyAsked:
    """What was asked for, and what could be read of it."""

    operation: Operation
    plan_path: str | None
    plan: Plan | None
    undo_path: str | None = None
    undo: RollbackPlan | None = None
    verify_path: str | None = None
    verification: K8sVerifyReport | str | None = None
    """The verification, or why it is none; ``None`` where there is none."""
    passport: PassportPart | None = None
    """The one in force; ``None`` of a rollback."""
    kill_switch: KillSwitch
    force: bool = False
    internal_override: bool = False
    approval: ApprovalPart
    provenance: Provenance


class ApplyRun:
    """One attempt, from its start to the folder it leaves.

    Args:
        store: the folder.
        asked: what was asked for.
        clock: the one clock.
        explain: the log of the command this is a part of; ``None``: its own.
        bundle_path: the policy bundle of that command; ``None``: it writes its own.
    """

    def __init__(
        self,
        store: FolderStore,
        asked: ApplyAsked,
        clock: Clock,
        *,
        explain: ExplainLog | None = None,
        bundle_path: str | None = None,
    ) -> None:
        self._store = store
        self._asked = asked
        self._clock = clock
        self._started = clock.now()
        self._explain = _log(store, clock) if explain is None else explain
        self._bundle_path = bundle_path
        self._explain.add("apply_started", operation=asked.operation, plan=asked.plan_path, force=asked.force)

    @property
    def operation(self) -> Operation:
        """What was asked for."""
        return self._asked.operation

    def refused(self, verdicts: tuple[Verdict, ...], *, error: str | None = None) -> K8sApplyReport:
        """Write why nothing was tried. ``error``: what else kept it from being tried, a plan that is none for one."""
        stopped = next((v.detail for v in verdicts if v.reason == next(iter(ordered_reasons(verdicts)), None)), "")
        report = self._report(verdicts, ApplyStatus.REFUSED, detail=error or stopped, attempted=False)
        return self._written(msgspec.structs.replace(report, rollback_plan_path=self._way_back()))

    def broken(self, why: str) -> K8sApplyReport:
        """Write that whoever was to do it broke off: what was changed is not known, so it counts as tried.

        What our own gates said is left out: nobody knows what was made of it.
        """
        lost = Verdict(gate="actuator", passed=False, reason=BlockReason.EFFECT_UNKNOWN, detail=why)
        report = self._report((lost,), ApplyStatus.FAILED, detail=why, attempted=True)
        there = (self._store.root / UNDO).is_file()
        return self._written(
            msgspec.structs.replace(report, rollback_plan_path=path_in(self._store, UNDO) if there else None)
        )

    def done(self, report: K8sApplyReport) -> K8sApplyReport:
        """Write what whoever applies plans reports."""
        return self._written(report)

    def _report(
        self, verdicts: tuple[Verdict, ...], status: ApplyStatus, *, detail: str, attempted: bool
    ) -> K8sApplyReport:
        asked, reasons, finished = self._asked, ordered_reasons(verdicts), self._clock.now()
        first = reasons[0] if reasons else None
        verification = asked.verification
        verify_stops = [v for v in verdicts if v.gate == "verify" and not v.passed]
        items = _items(asked, _Fate(status, first, detail))
        return K8sApplyReport(
            **times(self._started, finished),
            operation=asked.operation,
            dry_run=False,
            apply_requested=True,
            apply_attempted=attempted,
            apply_ok=False,
            block_reason=first,
            reason=first,
            apply_blocked_reason=first,
            block_reasons=reasons,
            detail=detail,
            gates=verdicts,
            kill_switch_active=asked.kill_switch.active,
            kill_switch_signal=asked.kill_switch.signal,
            force_requested=asked.force,
            internal_override_ignored=asked.internal_override,
            plan_path=asked.plan_path,
            plan_digest=_plan_digest(asked),
            plan_items=len(items),
            verify_ok=None if verification is None or attempted else not verify_stops,
            verify_report_path=asked.verify_path,
            verification_digest=_digest_of(verification),
            cluster=None,
            license=None,
            passport=asked.passport,
            made_under=asked.plan.passport if asked.plan is not None else None,
            approval=asked.approval,
            checks=ApplyChecks(items=items),
            items=items,
            policy_bundle_path=None,
            rollback_plan_path=None,
            explain_path=path_in(self._store, "explain.jsonl"),
        )

    def _written(self, report: K8sApplyReport) -> K8sApplyReport:
        finished = self._clock.now()
        bundle = self._bundle_path
        if bundle is None:
            bundle = publish_json(self._store, "policy_bundle", self._bundle(report, finished), finished)
        report = msgspec.structs.replace(
            report, policy_bundle_path=bundle, explain_path=path_in(self._store, "explain.jsonl")
        )
        for verdict in report.gates:
            self._explain.add("apply_gate", **msgspec.to_builtins(verdict))
        if report.approval.approval_path is not None:
            self._explain.add("apply_approval", **msgspec.to_builtins(report.approval))
        for item in report.items:
            self._explain.add(
                "apply_item",
                index=item.index,
                namespace=item.namespace,
                kind=item.kind,
                name=item.name,
                status=item.status,
                block_reason=item.block_reason,
                detail=item.detail,
            )
        self._explain.add(
            "apply_finished",
            operation=report.operation,
            apply_ok=report.apply_ok,
            apply_attempted=report.apply_attempted,
            block_reasons=report.block_reasons,
            plan_digest=report.plan_digest,
        )
        self._store.write_bytes("explain.jsonl", self._explain.data())
        publish_json(self._store, "k8s_apply", report, finished)
        return report

    def _bundle(self, report: K8sApplyReport, finished: datetime) -> PolicyBundle:
        catalog = load_default()
        policy = PolicyPart(
            name=f"k8s_{self._asked.operation}",
            catalog_schema=catalog.schema_version,
            catalog_digest=catalog_digest(catalog),
            catalog_source="built-in",
            catalog_trusted=True,
            chords=tuple(sorted(chord.id for chord in catalog.chords)),
            knob_registry_digest=registry_digest(),
            passport=report.passport,
            settings={"approve_advanced": self._asked.approval.approve_advanced},
        )
        return PolicyBundle(
            digest=canonical_digest(policy),
            created_at=times(finished, finished)["finished_at"],
            policy=policy,
            provenance=self._asked.provenance,
            plan_digest=report.plan_digest or "",
            rollback=RollbackPart(
                from_verify_report=self._asked.verify_path, rollback_plan_path=report.rollback_plan_path
            ),
        )

    def _way_back(self) -> str | None:
        """What a change would have had to be taken back to, as the verification saw it.

        A way back that is in the folder already stays: it may be the one of a change that was made.
        """
        asked = self._asked
        if asked.operation is Operation.ROLLBACK:
            return asked.undo_path
        plan, verification = asked.plan, asked.verification
        there = self._store.read_bytes(UNDO)
        if there is not None:
            return path_in(self._store, UNDO) if plan is not None and _leads_back(there, plan) else None
        if plan is None or not plan.items or not isinstance(verification, K8sVerifyReport):
            return None
        if verification.plan_digest != plan.digest:
            return None
        return publish_json(self._store, "rollback_plan", _undo_of(plan, verification), self._clock.now())


def _log(store: FolderStore, clock: Clock) -> ExplainLog:
    """In the folder of a session of ``watch`` its own log goes on: what is done there by hand belongs to its story."""
    log = ExplainLog(clock)
    if store.read_bytes(STATE_NAME) is not None:
        log.take_over(store.read_bytes("explain.jsonl") or b"")
    return log


def _undo_of(plan: Plan, verification: K8sVerifyReport) -> RollbackPlan:
    """From what the objects held when they were verified; of objects that were not read nothing is known."""
    held: dict[Target, dict[str, str]] = {}
    unread: set[Target] = set()
    for item in verification.items:
        target = Target(namespace=item.namespace, kind=item.kind, name=item.name)
        if set(item.recorded_values) != set(item.new_values):
            unread.add(target)
        values = {key: text for key, text in item.recorded_values.items() if text is not None}
        held.setdefault(target, {}).update(values)
    return rollback_plan(plan, {}, {target: values for target, values in held.items() if target not in unread})


def _leads_back(data: bytes, plan: Plan) -> bool:
    try:
        return parse_rollback_plan(data).plan_digest == plan.digest
    except ModeKeeperError:
        return False


class _Fate(NamedTuple):
    """What became of all items alike."""

    status: ApplyStatus
    reason: BlockReason | None
    detail: str


def _items(asked: ApplyAsked, fate: _Fate) -> tuple[ApplyItem, ...]:
    if asked.operation is Operation.ROLLBACK:
        back = asked.undo.items if asked.undo is not None else ()
        return tuple(
            _item(index, item, {key: item.keys[key].value for key in item.keys}, fate)
            for index, item in enumerate(back)
        )
    plan = asked.plan.items if asked.plan is not None else ()
    return tuple(_item(index, item, knob_annotations(item.knobs), fate) for index, item in enumerate(plan))


def _item(index: int, item: PlanItem | RollbackItem, wanted: Mapping[str, str | None], fate: _Fate) -> ApplyItem:
    return ApplyItem(
        index=index,
        namespace=item.namespace,
        kind=item.kind,
        name=item.name,
        actuation=item.actuation,
        status=fate.status,
        block_reason=fate.reason,
        detail=fate.detail,
        uid=None,
        before={},
        after={},
        wanted=dict(wanted),
        receipt=None,
        pods=(),
    )


def _plan_digest(asked: ApplyAsked) -> str | None:
    if asked.plan is not None:
        return asked.plan.digest
    return asked.undo.plan_digest if asked.undo is not None else None


def _digest_of(verification: K8sVerifyReport | str | None) -> str | None:
    return verification.verification_digest if isinstance(verification, K8sVerifyReport) else None
