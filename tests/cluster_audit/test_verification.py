"""The audit inside a verification: never fine by silence, and a problem of the item it belongs to."""

from pathlib import Path
from typing import Any

import pytest
from tests.cluster_audit.test_owned_fields import entry
from tests.cluster_audit.test_receipt_book import KEY
from tests.cluster_audit.test_unreceipted import OWNED
from tests.cluster_verify.worlds import item, plan_of, pod, resource_of, workload, world

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, K8sVerifyReport, verification_digest
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.audit.looking import Unread, audit
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.memory import PODS, MemoryCluster
from modekeeper.cluster.verify.gather import gather
from modekeeper.model.decision import Actuation, Target
from modekeeper.reports.folder.verify_run import VerifyRun
from modekeeper.reports.verify_summary import verify_lines, verify_summary

PLAN = plan_of(item(Actuation.HOT, name="calm"), item(Actuation.HOT))
TARGETS = [Target(namespace="train", kind="Deployment", name=name) for name in ("calm", "trainer")]


def cluster(pods: int = 2, **of_pods: Any) -> MemoryCluster:
    """Two Deployments with pods of their own; what is given is written on each pod of the second one."""
    made = world()
    for name in ("calm", "trainer"):
        labels = {"app": name}
        found = workload()
        found["metadata"] |= {"name": name, "annotations": {KEY: "2"}, "managedFields": [entry({}, manager="helm-x")]}
        found["spec"]["selector"] = {"matchLabels": labels}
        found["spec"]["template"]["metadata"]["labels"] = labels
        made.put(resource_of("Deployment"), found)
        for number in range(pods):
            one = pod(f"{name}-{number:03d}", labels=labels)
            one["metadata"] |= {"annotations": {KEY: "2"}} | (of_pods if name == "trainer" else {})
            made.put(PODS, one)
    return made


def verified(made: MemoryCluster, folder: Path, *, audited: bool = True) -> K8sVerifyReport:
    run = VerifyRun(FolderStore(folder / "verify"), "plan.json", 900, SystemClock())
    found = audit(made, TARGETS, folder) if audited else None
    return run.judged(gather(made, PLAN), KubectlVersion(error="not there"), found)


def test_without_receipts_it_says_that_nothing_was_checked(tmp_path: Path) -> None:
    report = verified(cluster(managedFields=[entry(OWNED)]), tmp_path, audited=False)
    assert report.ok
    assert (report.audit.checked, report.audit.receipts_path) == (False, None)
    line = "not checked: name the folder of earlier applies with --receipts"
    assert f"AUDIT  {line}" in verify_lines(report)
    assert line in verify_summary(report)


def test_nothing_in_our_name_is_fine_and_said_so(tmp_path: Path) -> None:
    report = verified(cluster(), tmp_path)
    assert report.ok
    assert report.audit.checked
    text = "checked: 0 changes under our field manager without a receipt (6 objects, 0 receipts, 4 on which nobody"
    assert any(line.startswith(f"AUDIT  {text}") for line in verify_lines(report))


def test_an_incident_is_a_problem_of_its_item_and_of_no_other(tmp_path: Path) -> None:
    report = verified(cluster(managedFields=[entry(OWNED)]), tmp_path)
    assert not report.ok
    assert report.verification_digest == verification_digest(report)
    assert [each.ok for each in report.items] == [True, False]
    assert [problem.code for problem in report.items[1].problems] == ["unreceipted_change"] * 2
    assert report.verify_blocker is not None
    assert (report.verify_blocker.kind, report.verify_blocker.index) == (BlockerKind.UNKNOWN, 1)
    (namespace,) = report.namespaces
    assert (namespace.items_ok, namespace.ok) == (1, False)
    assert [each.values for each in report.audit.incidents] == [{KEY: "2"}] * 2
    assert "trainer-001" in verify_summary(report)


def test_what_could_not_be_looked_at_is_a_problem_too(tmp_path: Path) -> None:
    made = cluster()
    found = audit(made, TARGETS, tmp_path)
    silent = found._replace(unread=(Unread(TARGETS[1], "its pods could not be looked at"),))
    run = VerifyRun(FolderStore(tmp_path / "verify"), "plan.json", 900, SystemClock())
    report = run.judged(gather(made, PLAN), KubectlVersion(error="not there"), silent)
    assert not report.ok
    assert not report.audit.checked
    assert [problem.code for problem in report.items[1].problems] == ["audit_incomplete"]
    assert any("NOT COMPLETE" in line for line in verify_lines(report))


@pytest.mark.parametrize("pods", [11, 250])
def test_very_many_are_counted_and_not_all_listed(tmp_path: Path, pods: int) -> None:
    report = verified(cluster(pods, managedFields=[entry(OWNED)]), tmp_path)
    assert report.audit.incidents_total == pods
    assert len(report.audit.incidents) == min(pods, 200)
    assert len(report.items[1].problems) == 11
    assert report.items[1].problems[-1].detail == f"and {pods - 10} more: see audit in the report"
