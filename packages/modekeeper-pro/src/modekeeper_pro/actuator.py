"""What the public package finds by its entry point: the door, with everything it needs from this machine."""

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport, LicensePart
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import PINNED_CLOCK_VARIABLE
from modekeeper.cluster.kill_switch import KillSwitchSignals, switch_namespaces
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.decision import CurrentValueSource, Target
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.planning.plan import KNOB_ANNOTATION
from modekeeper.policy.knobs import find_knob, is_on_grid
from modekeeper.policy.situation import KnownValue
from modekeeper.ports.actuator import ApplyOrder
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.trust.check import LicenseFacts
from modekeeper.trust.faults import TrustError
from modekeeper.trust.finding import find_approvers, find_organisation
from modekeeper.trust.keyring import Keyring
from modekeeper.trust.on_machine import TrustSources, check_on_machine
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.gathering import number_said
from modekeeper_pro.door.opening import open_writer
from modekeeper_pro.door.ports import NO_APPROVERS, DoorPorts
from modekeeper_pro.door.report import Asked, apply_report, rollback_report
from modekeeper_pro.door.rollback import rollback
from modekeeper_pro.door.way_back import WAY_BACK

__all__ = ["ENTITLEMENT", "DoorActuator"]

ENTITLEMENT = "apply"
"""What a licence must grant for a change."""
_OVERRIDE_VARIABLE = "MODEKEEPER_INTERNAL_OVERRIDE"
_TOLD_BY = frozenset({CurrentValueSource.TELEMETRY.value, CurrentValueSource.OPERATOR.value})


class DoorActuator:
    """An ``Actuator`` (``modekeeper.ports.actuator``): every call goes through the door."""

    def apply(self, order: ApplyOrder) -> K8sApplyReport:
        """As the port says.

        Raises:
            BadInputError: there is no plan, no way to a cluster, or a clock that was stopped by hand: with such a
                clock nothing ever expires.
            RefusedError: another apply or rollback works in the same folder.
            FailedError: the disk does not take what must be on it.
        """
        if order.plan is None:
            raise BadInputError("there is no plan to apply. Name one with --plan.")
        if order.environment.get(PINNED_CLOCK_VARIABLE):
            raise BadInputError(f"a change needs the machine's own clock: unset {PINNED_CLOCK_VARIABLE}.")
        started = order.clock.now()
        request = ApplyRequest(
            plan=order.plan.data,
            verification=order.verification.data if order.verification is not None else None,
            passport=order.passport.data if order.passport is not None else None,
            approve_advanced=order.approve_advanced is True,
            approval=order.approval.data if order.approval is not None else None,
            known=_known(order),
        )
        with _ports(order) as ports:
            applied = apply(request, ports)
        plan = applied.case.plan
        return apply_report(
            applied, _asked(order, started, _way_back(order, plan.digest if plan is not None else None))
        )

    def rollback(self, order: ApplyOrder) -> K8sApplyReport:
        """As the port says; what is taken back is what the files in ``order.store`` say was written.

        Raises:
            BadInputError: what was named is no plan, or there is no way to a cluster.
            RefusedError: another apply or rollback works in the same folder.
            FailedError: the files are damaged, or the disk does not take what must be on it.
        """
        started, digest = order.clock.now(), None
        if order.rollback_plan is not None:
            digest = parse_rollback_plan(order.rollback_plan.data).plan_digest
        elif order.plan is not None:
            digest = parse_plan(order.plan.data).digest
        with _ports(order) as ports:
            taken = rollback(digest, ports)
        followed = order.rollback_plan.path if order.rollback_plan is not None else None
        return rollback_report(taken, _asked(order, started, followed))


@dataclass(frozen=True, kw_only=True)
class _Licence:
    """The licence of this machine."""

    path: str | None
    environment: Mapping[str, str]
    clock: Clock

    def check(self, cluster_uid: str | None) -> LicensePart:
        """As the port of the door says."""
        checked = check_on_machine(
            TrustSources(license=self.path),
            environment=self.environment,
            folder=Path(),
            facts=LicenseFacts(
                cluster_uid=cluster_uid,
                host=platform.node() or None,
                org=find_organisation(None, self.environment),
            ),
            now=self.clock.now(),
            wanted=(ENTITLEMENT,),
        )
        verdict = checked.verdict
        return LicensePart(
            license_ok=verdict.license_ok,
            license_path=checked.found.path,
            reason=verdict.reason_code,
            failure_code=verdict.failure_code,
            failure_detail=verdict.failure_detail,
            kid=verdict.kid,
            org=verdict.org,
            expires_at=verdict.expires_at.isoformat() if verdict.expires_at is not None else None,
            entitlements=verdict.entitlements,
        )


@dataclass(frozen=True, kw_only=True)
class _Switches:
    """The environment, the file, and the ConfigMaps."""

    environment: Mapping[str, str]
    file: str | None
    reader: ClusterReader

    def look(self, namespaces: tuple[str, ...]) -> KillSwitch:
        """As the port of the door says."""
        return KillSwitchSignals(
            environment=self.environment,
            file=self.file,
            reader=self.reader,
            namespaces=switch_namespaces(self.reader.context, namespaces),
        ).look()


@contextmanager
def _ports(order: ApplyOrder) -> Iterator[DoorPorts]:
    way = order.cluster
    kubeconfig = Path(way.kubeconfig) if way.kubeconfig is not None else None
    choice = ClusterChoice(
        client=way.client,
        kubeconfig=kubeconfig,
        context=way.context,
        request_timeout_s=way.request_timeout_s,
    )
    reader = open_reader(choice, clock=order.clock, environment=order.environment)
    try:
        writer = open_writer(
            way.client,
            kubeconfig=kubeconfig,
            context=way.context,
            clock=order.clock,
            environment=order.environment,
            request_timeout_s=way.request_timeout_s,
        )
        try:
            yield DoorPorts(
                reader=reader,
                writer=writer,
                licence=_Licence(path=order.license_path, environment=order.environment, clock=order.clock),
                switches=_Switches(environment=order.environment, file=order.kill_switch_file, reader=reader),
                clock=order.clock,
                approvers=_approvers(order),
                files=FolderStore(order.store.root),
            )
        finally:
            writer.close()
    finally:
        reader.close()


def _approvers(order: ApplyOrder) -> Keyring | TrustError:
    """Who may approve; looked for only where an approval was given."""
    return NO_APPROVERS if order.approval is None else find_approvers(order.approvers_path, order.environment)


def _known(order: ApplyOrder) -> dict[Target, dict[str, KnownValue]]:
    """What telemetry or the operator said when the plan was made, from the rollback plan that was written beside it.

    The cluster's own word counts before it; it can only say from where a step is measured.
    """
    if order.plan is None or order.rollback_plan is None:
        return {}
    try:
        plan, undo = parse_plan(order.plan.data), parse_rollback_plan(order.rollback_plan.data)
    except BadInputError:
        return {}
    found: dict[Target, dict[str, KnownValue]] = {}
    for item in undo.items if undo.plan_digest == plan.digest else ():
        target = Target(namespace=item.namespace, kind=item.kind, name=item.name)
        for key, previous in item.keys.items():
            knob = find_knob(key.removeprefix(KNOB_ANNOTATION))
            value = number_said(previous.value)
            if knob is not None and value is not None and is_on_grid(knob, value) and previous.source in _TOLD_BY:
                known = KnownValue(value=value, source=CurrentValueSource(previous.source))
                found.setdefault(target, {})[knob.name] = known
    return found


def _way_back(order: ApplyOrder, plan_digest: str | None) -> str | None:
    """The way back of the plan, where an earlier apply left one."""
    data = FolderStore(order.store.root).read_bytes(WAY_BACK)
    try:
        fits = data is not None and parse_rollback_plan(data).plan_digest == plan_digest
    except BadInputError:
        fits = False
    return (order.store.root / WAY_BACK).as_posix() if fits else None


def _asked(order: ApplyOrder, started: datetime, way_back: str | None) -> Asked:
    return Asked(
        started=started,
        finished=order.clock.now(),
        plan_path=order.plan.path if order.plan is not None else None,
        verify_report_path=order.verification.path if order.verification is not None else None,
        passport_source=order.passport.path if order.passport is not None else "built-in",
        approve_advanced=order.approve_advanced is True,
        approval_path=order.approval.path if order.approval is not None else None,
        force_requested=order.force_requested is True,
        internal_override_ignored=_OVERRIDE_VARIABLE in order.environment,
        rollback_plan_path=way_back,
        folder=order.store.root.as_posix(),
    )
