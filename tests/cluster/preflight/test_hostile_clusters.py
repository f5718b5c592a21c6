"""Whatever a cluster says, a preflight says something true of it, in lines that can be shown, and never breaks."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cluster.preflight.clusters import (
    DAEMON_SETS,
    DEPLOYMENTS,
    HPAS,
    NAMESPACE,
    NODES,
    TEMPLATE,
    VPAS,
    facts_of,
    ready,
    subject,
)

from modekeeper.artifacts.contracts.preflight import BLOCKERS, PreflightReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import parse_iso
from modekeeper.cli.clocks import PinnedClock
from modekeeper.cluster.memory import MemoryCluster
from modekeeper.cluster.preflight.checklist import check_all, top_blocker
from modekeeper.cluster.preflight.facts import NoAnswer, Why
from modekeeper.cluster.preflight.gather import gather, no_facts
from modekeeper.cluster.preflight.pod_templates import gpu_request, pod_templates
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.model.workload import WORKLOAD_KINDS, WorkloadKind
from modekeeper.reports.folder.preflight_run import write_preflight

NOW = parse_iso("2026-01-31T09:00:00Z")
WORDS = st.sampled_from(
    ["name", "metadata", "labels", "annotations", "ownerReferences", "controller", "spec", "template", "containers",
     "volumes", "volumeMounts", "downwardAPI", "items", "path", "fieldRef", "fieldPath", "metadata.annotations",
     "limits", "resources", "nvidia.com/gpu", "status", "allocatable", "mountPath", "subPath", "kind", "Deployment",
     "trainer", "scaleTargetRef", "targetRef", "replicas", "kueue.x-k8s.io/queue-name", "modekeeper/telemetry", "image"]
)  # fmt: skip
TEXT = WORDS | st.text(max_size=20)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=6),
    max_leaves=30,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=8)


def around(found: Any, name: str) -> dict[str, Any]:
    """Anything, with what the API server always sets."""
    metadata = found.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    return {**found, "metadata": {**kept, "name": name, "namespace": NAMESPACE}}


def write(folder: Path, cluster: MemoryCluster) -> PreflightReport:
    return write_preflight(FolderStore(folder), facts_of(cluster), PinnedClock(NOW), NOW)


@settings(max_examples=150, deadline=None)
@given(OBJECT, OBJECT, OBJECT, OBJECT)
def test_any_objects_give_lines_that_can_be_shown(workload: Any, node: Any, daemon_set: Any, scaler: Any) -> None:
    cluster = ready()
    cluster.put(DEPLOYMENTS, around(workload, "trainer"))
    cluster.put(NODES, around(node, "gpu-1"))
    cluster.put(DAEMON_SETS, around(daemon_set, "plugin"))
    for resource in (HPAS, VPAS):
        cluster.put(resource, around(scaler, "scaler"))
    for check in check_all(facts_of(cluster)):
        assert check.detail
        assert check.detail.isprintable()
        assert (check.hint or " ").isprintable()
        assert (check.blocker is None) or check.status in {"fail", "unknown"}
        assert check.status != "fail" or check.blocker is not None


@pytest.mark.parametrize("kind", WORKLOAD_KINDS, ids=lambda kind: kind.kind)
@settings(max_examples=60, deadline=None)
@given(found=OBJECT)
def test_templates_of_any_object_are_read_without_breaking(kind: WorkloadKind, found: Any) -> None:
    for template in pod_templates(kind.kind, found):
        assert gpu_request(template) >= 0


AT: dict[str, Any] = {
    "Deployment": {"template": TEMPLATE},
    "StatefulSet": {"template": TEMPLATE},
    "Job": {"template": TEMPLATE},
    "JobSet": {"replicatedJobs": [{"name": "a", "template": {"spec": {"template": TEMPLATE}}}] * 2},
    "LeaderWorkerSet": {"leaderWorkerTemplate": {"leaderTemplate": TEMPLATE, "workerTemplate": TEMPLATE}},
    "PyTorchJob": {"pytorchReplicaSpecs": {"Master": {"template": TEMPLATE}, "Worker": {"template": TEMPLATE}}},
    "TrainJob": {"runtimeRef": {"name": "torch-distributed"}},
    "RayCluster": {
        "headGroupSpec": {"template": TEMPLATE},
        "workerGroupSpecs": [{"groupName": "a", "template": TEMPLATE}],
    },
    "RayJob": {
        "rayClusterSpec": {
            "headGroupSpec": {"template": TEMPLATE},
            "workerGroupSpecs": [{"groupName": "a", "template": TEMPLATE}],
        }
    },
    "VolcanoJob": {"tasks": [{"name": "a", "template": TEMPLATE}, {"name": "b", "template": TEMPLATE}]},
}


@pytest.mark.parametrize("kind", WORKLOAD_KINDS, ids=lambda kind: kind.kind)
def test_every_known_kind_keeps_its_templates_where_its_reference_says(kind: WorkloadKind) -> None:
    cluster = ready(rules=None)
    cluster.put(kind.resource(), {"metadata": {"name": "job", "namespace": NAMESPACE}, "spec": AT[kind.kind]})
    templates = pod_templates(kind.kind, AT[kind.kind] and {"spec": AT[kind.kind]})
    assert [template.spec for template in templates] == [TEMPLATE["spec"]] * len(templates)
    several = {"Deployment": 1, "StatefulSet": 1, "Job": 1, "TrainJob": 0}
    assert len(templates) == several.get(kind.kind, 2)
    found = {check.name: check for check in check_all(facts_of(cluster, subject(kind.kind, "job")))}
    status = "unknown" if kind.kind == "TrainJob" else "pass"
    assert {found[name].status for name in ("annotations_file", "telemetry_annotation", "gpu_request")} == {status}
    assert top_blocker(tuple(found.values())) is None


def test_a_report_is_the_same_bytes_however_many_threads_ask(tmp_path: Path) -> None:
    made = []
    for threads in (1, 3, 16):
        folder = tmp_path / str(threads)
        facts = gather(ready(), subject(), threads=threads)
        write_preflight(FolderStore(folder), facts, PinnedClock(NOW), NOW)
        made.append([path.read_bytes().replace(str(folder).encode(), b"") for path in sorted(folder.iterdir())])
    assert made[0] == made[1] == made[2]


def test_it_only_reads_and_asks() -> None:
    cluster = ready()
    facts_of(cluster)
    assert {method for method, _ in cluster.asked} == {"server_version", "served_versions", "get", "list", "can_i"}


def test_an_error_of_our_own_is_not_taken_for_an_answer() -> None:
    cluster = ready()
    cluster.fail("list", ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        facts_of(cluster)


def test_the_report_says_what_its_schema_says_and_notes_are_no_blockers(tmp_path: Path) -> None:
    cluster = ready(without=(NODES, DAEMON_SETS))
    report = write(tmp_path, cluster)
    read = msgspec.json.decode((tmp_path / "preflight_latest.json").read_bytes(), type=PreflightReport)
    assert read == report
    assert (read.ok, read.top_blocker) == (True, None)
    assert (read.gpu_capacity_present, read.nvidia_device_plugin_present, read.deploy_gpu_request) == (False, False, 2)
    assert [note.partition(":")[0] for note in read.notes] == ["gpu_capacity", "device_plugin"]
    assert {access.allowed for access in read.access} == {True}


def test_what_an_administrator_is_to_grant_is_in_the_summary(tmp_path: Path) -> None:
    write(tmp_path, ready(rules=()))
    text = (tmp_path / "preflight_summary.md").read_text()
    assert "- ok: false\n- top\\_blocker" not in text
    assert "- ok: false\n- top_blocker: rbac_denied" in text
    assert text.count("```yaml") == text.count("\n```\n")
    for resource in ('"pods/log"', '"pods"', '"deployments"', '"nodes"', '"daemonsets"', '"horizontalpodautoscalers"'):
        assert f"resources: [{resource}]" in text


def test_a_name_cannot_end_the_block_it_is_quoted_in(tmp_path: Path) -> None:
    cluster = MemoryCluster(user="```\n# Ready\n\x1b[2J", rules=())
    write(tmp_path, cluster)
    text = (tmp_path / "preflight_summary.md").read_text()
    assert "\n# Ready" not in text
    assert "\x1b" not in text
    assert sum(line.startswith("```") for line in text.splitlines()) == 2 * text.count("```yaml")


@pytest.mark.parametrize("why", [Why.BAD_CONFIG, Why.UNREACHABLE])
def test_without_a_cluster_there_is_a_report_all_the_same(tmp_path: Path, why: Why) -> None:
    facts = no_facts(subject(), NoAnswer(why=why, detail="no kubeconfig"))
    report = write_preflight(FolderStore(tmp_path), facts, PinnedClock(NOW), NOW)
    assert (report.ok, report.top_blocker, report.context) == (False, "client_unavailable", None)
    assert (tmp_path / "preflight_latest.json").is_file()
    assert report.checks[0].detail == "no kubeconfig"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["server_version", "get", "list", "can_i", "served_versions"]),
        st.sampled_from([400, 401, 403, 404, 409, 429, 500, 503, None]),
        min_size=1,
    )
)
def test_a_pass_is_never_made_of_missing_answers(failures: dict[str, int | None]) -> None:
    cluster = ready()
    for method, status in failures.items():
        error = ClusterUnreachableError("gone") if status is None else cluster.failure(status)
        cluster.fail(method, error, times=None)
    checks = check_all(facts_of(cluster))
    assert top_blocker(checks) in {None, *BLOCKERS}
    if "get" in failures or "can_i" in failures:
        assert top_blocker(checks) is not None
