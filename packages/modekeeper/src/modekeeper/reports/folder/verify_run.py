"""The folder of one verification: report, summary and explain log, from the facts and what they were judged to be."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import (
    AuditPart,
    BlockerKind,
    ClusterIdentity,
    K8sVerifyReport,
    VerifyBlocker,
    VerifyChecks,
    VerifyDiagnostics,
    verification_digest,
)
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import iso_utc
from modekeeper.cluster.audit.looking import Audit
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.rbac import role_yaml
from modekeeper.cluster.verify.audited import audit_part, audited
from modekeeper.cluster.verify.diagnostics import diagnose
from modekeeper.cluster.verify.facts import Facts
from modekeeper.cluster.verify.judge import Judgement, judge
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.model.decision import Plan
from modekeeper.model.errors import ModeKeeperError
from modekeeper.model.json_fields import text_at
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.reports.verify_summary import verify_summary

__all__ = ["VerifyRun"]


class VerifyRun:
    """One verification, from its start to the folder it leaves.

    Args:
        store: the folder.
        plan_path: the plan, as the user named it.
        valid_for_s: how long the verification is good for, from the first question on.
        clock: the one clock.
        explain: the log of the command this is a part of; ``None``: its own.
    """

    def __init__(
        self,
        store: FolderStore,
        plan_path: str,
        valid_for_s: float,
        clock: Clock,
        *,
        explain: ExplainLog | None = None,
    ) -> None:
        self._store = store
        self._plan_path = plan_path
        self._valid_for = timedelta(seconds=valid_for_s)
        self._clock = clock
        self._explain = ExplainLog(clock) if explain is None else explain
        self._started = clock.now()
        self._explain.add("verify_started", plan=plan_path)

    def judged(self, facts: Facts, kubectl: KubectlVersion, audit: Audit | None = None) -> K8sVerifyReport:
        """Judge the facts and write what follows from them. ``audit``: ``None`` where no receipts were named."""
        judgement = audited(judge(facts), audit)
        diagnostics, failures = diagnose(facts, kubectl)
        for failure in failures:
            self._explain.add("k8s_verify_diagnostic", **failure.payload())
        for item in judgement.items:
            self._explain.add(
                "item_verified",
                index=item.index,
                namespace=item.namespace,
                kind=item.kind,
                name=item.name,
                ok=item.ok,
                effect=item.effect.effect,
                reason=item.effect.reason,
                problems=[problem.code for problem in item.problems],
            )
        for incident in audit.incidents if audit is not None else ():
            self._explain.add("unreceipted_change", detail=incident.change.text)
        blocker = judgement.blocker or _silence(facts)
        return self._written(
            plan=facts.plan,
            blocker=blocker,
            judgement=judgement,
            audit=audit_part(audit),
            diagnostics=diagnostics,
            cluster=ClusterIdentity(
                server=facts.context.server,
                context=facts.context.name,
                user=facts.context.user,
                uid=text_at(facts.identity.value, "metadata", "uid") if facts.identity is not None else None,
            ),
        )

    def refused(self, error: ModeKeeperError, plan: Plan | None) -> K8sVerifyReport:
        """Write why there was nothing to ask, or no way to ask it: no plan, or no way to a cluster."""
        kind = BlockerKind.CLIENT_UNAVAILABLE if isinstance(error, ClusterConfigError) else BlockerKind.UNKNOWN
        blocker = VerifyBlocker(kind=kind, index=None, namespace=None, name=None, detail=str(error))
        return self._written(plan=plan, blocker=blocker, judgement=None, diagnostics=VerifyDiagnostics(), cluster=None)

    def _written(
        self,
        *,
        plan: Plan | None,
        blocker: VerifyBlocker | None,
        judgement: Judgement | None,
        diagnostics: VerifyDiagnostics,
        cluster: ClusterIdentity | None,
        audit: AuditPart | None = None,
    ) -> K8sVerifyReport:
        finished, store = self._clock.now(), self._store
        items = judgement.items if judgement is not None else ()
        report = K8sVerifyReport(
            **times(self._started, finished),
            ok=blocker is None and judgement is not None and judgement.ok,
            verify_blocker=blocker,
            plan_path=self._plan_path,
            plan_digest=plan.digest if plan is not None else None,
            plan_items=len(plan.items) if plan is not None else 0,
            cluster=cluster,
            **self._validity(),
            checks=VerifyChecks(items=items),
            items=items,
            namespaces=judgement.namespaces if judgement is not None else (),
            audit=audit or AuditPart(),
            diagnostics=diagnostics,
            access_hints=judgement.hints if judgement is not None else (),
            role_yaml=role_yaml(judgement.denied, subject=judgement.subject) if judgement is not None else "",
            summary_path=path_in(store, "k8s_verify_summary.md"),
            explain_path=path_in(store, "explain.jsonl"),
            verification_digest="",
        )
        report = msgspec.structs.replace(report, verification_digest=verification_digest(report))
        self._write(report, finished)
        return report

    def _write(self, report: K8sVerifyReport, finished: datetime) -> None:
        blocker = report.verify_blocker
        self._explain.add(
            "verify_finished",
            ok=report.ok,
            blocker=blocker.kind if blocker is not None else None,
            plan_digest=report.plan_digest,
            verification_digest=report.verification_digest,
        )
        self._store.write_bytes("explain.jsonl", self._explain.data())
        self._store.write_bytes("k8s_verify_summary.md", verify_summary(report).encode())
        publish_json(self._store, "k8s_verify", report, finished)

    def _validity(self) -> dict[str, Any]:
        """From the first question on: an answer is as old as its question."""
        return {
            "verified_at": iso_utc(self._started),
            "verification_expires_at": iso_utc(self._started + self._valid_for),
        }


def _silence(facts: Facts) -> VerifyBlocker | None:
    """Of an empty plan no item can say that nobody answered."""
    if facts.items or facts.version.value is not None:
        return None
    return VerifyBlocker(
        kind=BlockerKind.CLIENT_UNAVAILABLE, index=None, namespace=None, name=None, detail=str(facts.version.error)
    )
