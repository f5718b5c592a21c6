"""A preflight from its facts to its folder."""

import threading
from collections.abc import Callable
from datetime import datetime

import msgspec

from modekeeper.artifacts.contracts.preflight import PreflightCheck, PreflightContext, PreflightReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cluster.preflight.checklist import check_all, top_blocker
from modekeeper.cluster.preflight.checks.access import access_list
from modekeeper.cluster.preflight.checks.gpu import (
    device_plugin_present,
    gpu_allocatable,
    gpu_capacity_present,
    gpu_requested,
)
from modekeeper.cluster.preflight.checks.telemetry import chosen_container
from modekeeper.cluster.preflight.facts import Facts, NoAnswer
from modekeeper.cluster.preflight.pod_templates import containers, pod_templates
from modekeeper.model.cluster import ClusterContext
from modekeeper.model.errors import ModeKeeperError
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.reports.preflight_summary import preflight_summary

__all__ = ["write_preflight"]


def write_preflight(store: FolderStore, facts: Facts, clock: Clock, started: datetime) -> PreflightReport:
    """Judge the facts; write ``explain.jsonl``, ``preflight_summary.md`` and ``preflight_latest.json``."""
    finished = clock.now()
    report = _report(store, msgspec.structs.replace(facts, sidecars=_sidecars(facts)), started, finished)
    explain = ExplainLog(clock)
    explain.add("preflight_started", target=report.target, started_at=report.started_at)
    for check in report.checks:
        explain.add("preflight_checked", check=check.name, status=check.status, detail=check.detail)
    explain.add("preflight_finished", ok=report.ok, top_blocker=report.top_blocker)
    _together(
        lambda: store.write_bytes("explain.jsonl", explain.data()),
        lambda: store.write_bytes("preflight_summary.md", preflight_summary(report).encode()),
        lambda: publish_json(store, "preflight", report, finished),
    )
    return report


def _together(*writings: Callable[[], object]) -> None:
    """Write several files at once: each waits for the disk, and the waits are most of it."""
    broken: list[ModeKeeperError] = []

    def write(writing: Callable[[], object]) -> None:
        try:
            writing()
        except ModeKeeperError as error:
            broken.append(error)

    threads = [threading.Thread(target=write, args=(writing,)) for writing in writings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]


def _sidecars(facts: Facts) -> frozenset[str]:
    """Containers that are known not to train, where there is a choice at all."""
    if isinstance(facts.workload, NoAnswer):
        return frozenset()
    if all(len(containers(t)) < 2 for t in pod_templates(facts.subject.kind.kind, facts.workload)):  # noqa: PLR2004
        return frozenset()
    from modekeeper.telemetry.pods.selection import SIDECARS  # noqa: PLC0415 - a few pods have several containers

    return SIDECARS


def _report(store: FolderStore, facts: Facts, started: datetime, finished: datetime) -> PreflightReport:
    checks = check_all(facts)
    blocker = top_blocker(checks)
    where = facts.context
    return PreflightReport(
        **times(started, finished),
        ok=blocker is None,
        top_blocker=blocker,
        context=None if where is None else _context(where),
        target=facts.subject.target,
        server_version=None if isinstance(facts.version, NoAnswer) else facts.version.git_version,
        checks=checks,
        access=access_list(facts),
        gpu_capacity_present=gpu_capacity_present(facts),
        gpu_allocatable=gpu_allocatable(facts),
        nvidia_device_plugin_present=device_plugin_present(facts),
        deploy_gpu_request=gpu_requested(facts),
        container=chosen_container(facts),
        notes=tuple(f"{check.name}: {check.detail}" for check in checks if _is_note(check)),
        preflight_path=path_in(store, "preflight_latest.json"),
        preflight_summary_path=path_in(store, "preflight_summary.md"),
        explain_path=path_in(store, "explain.jsonl"),
    )


def _context(where: ClusterContext) -> PreflightContext:
    return PreflightContext(name=where.name, server=where.server, namespace=where.namespace, user=where.user)


def _is_note(check: PreflightCheck) -> bool:
    return check.blocker is None and check.status != "pass"
