"""The folder of one rendering: the script of a plan, and what it was made from."""

import hashlib

from modekeeper.artifacts.contracts.k8s_render import K8sRenderReport, RenderedItem
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.decision import Plan
from modekeeper.model.errors import ModeKeeperError
from modekeeper.planning.kubectl_script import render
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import path_in, publish_json, times

__all__ = ["SCRIPT", "write_render_folder"]

SCRIPT = "k8s_plan.kubectl.sh"


def write_render_folder(
    store: FolderStore, plan_path: str, plan: Plan | ModeKeeperError, clock: Clock
) -> K8sRenderReport:
    """Write the script and ``k8s_render_latest.json``; where it is no plan, only the report, with the reason.

    Args:
        store: the folder.
        plan_path: the plan, as the user named it.
        plan: the plan, or why it is none.
        clock: the one clock.
    """
    started = clock.now()
    error = str(plan) if isinstance(plan, ModeKeeperError) else None
    read = None if isinstance(plan, ModeKeeperError) else plan
    script = render(read).encode() if read is not None else None
    if script is not None:
        store.write_bytes(SCRIPT, script)
    explain = ExplainLog(clock)
    explain.add("plan_rendered", plan=plan_path, plan_digest=read.digest if read is not None else None, error=error)
    store.write_bytes("explain.jsonl", explain.data())
    finished = clock.now()
    report = K8sRenderReport(
        **times(started, finished),
        ok=read is not None,
        error=error,
        plan_path=plan_path,
        plan_digest=read.digest if read is not None else None,
        plan_items=len(read.items) if read is not None else 0,
        items=tuple(
            RenderedItem(
                index=index,
                namespace=item.namespace,
                kind=item.kind,
                name=item.name,
                actuation=item.actuation.value,
                knobs=item.knobs,
            )
            for index, item in enumerate(read.items if read is not None else ())
        ),
        k8s_plan_script_path=path_in(store, SCRIPT) if script is not None else None,
        script_sha256=hashlib.sha256(script).hexdigest() if script is not None else None,
        explain_path=path_in(store, "explain.jsonl"),
    )
    publish_json(store, "k8s_render", report, finished)
    return report
