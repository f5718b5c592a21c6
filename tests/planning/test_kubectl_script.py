"""The script does exactly what its plan means, whatever the plan holds, and nothing else."""

import json
import os
import shutil
import stat
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.planning.changes import BUCKET, PREFETCH, WORKERS, change

from modekeeper.model.decision import Actuation, Plan, PlanItem, Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.pod_selector import POD_MARKS
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.planning.kubectl_script import render
from modekeeper.planning.plan import build_plan, patches

FAKE = """#!/bin/bash
# Records its arguments; answers the two questions the script asks.
{ printf '%s\\0' "$@"; printf '\\n\\0'; } >>"$RECORD"
case "$1" in
  get)
    case "${!#}" in
      pods) cat "$PODS" ;;
      *) cat "$SELECTOR" ;;
    esac
    ;;
esac
exit "${FAIL_WITH:-0}"
"""


@dataclass
class Bench:
    """A private machine: a PATH with a recording tool and the few programs a shell needs."""

    folder: Path
    selector: str = "app=trainer,"
    pods: str = "trainer-1\ntrainer-2\n"
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *options: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
        (self.folder / "selector").write_text(self.selector)
        (self.folder / "pods").write_text(self.pods)
        record = self.folder / "record"
        record.unlink(missing_ok=True)
        path = self.folder / "k8s_plan.kubectl.sh"
        path.write_text(script)
        environment = {
            "PATH": str(self.folder / "bin"),
            "RECORD": str(record),
            "SELECTOR": str(self.folder / "selector"),
            "PODS": str(self.folder / "pods"),
            **self.environment,
        }
        done = subprocess.run(
            ["/bin/bash", str(path), *options],
            cwd=self.folder / "cwd",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        calls = record.read_bytes().decode().split("\0\n\0")[:-1] if record.exists() else []
        assert list((self.folder / "cwd").iterdir()) == [], "something else was executed"
        return done, [call.split("\0") for call in calls]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "bin").mkdir()
    (tmp_path / "cwd").mkdir()
    for name, text in {"kubectl": FAKE, "id": "#!/bin/bash\n>canary\n", "touch": "#!/bin/bash\n>canary\n"}.items():
        tool = tmp_path / "bin" / name
        tool.write_text(text)
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    cat = shutil.which("cat")
    assert cat is not None
    (tmp_path / "bin" / "cat").symlink_to(cat)
    return Bench(tmp_path)


def writes(calls: list[list[str]]) -> list[list[str]]:
    return [call for call in calls if call[0] != "get"]


def item(actuation: Actuation, **fields: Any) -> PlanItem:
    patch, pod_patch = patches("Deployment", actuation, {"modekeeper/knob.concurrency": "6"})
    plain = PlanItem(
        kind="Deployment",
        namespace="ml",
        name="trainer",
        actuation=actuation,
        chord_id="DRIFT-RETUNE",
        knobs={"concurrency": "6"},
        patch=patch,
        pod_patch=pod_patch,
    )
    return msgspec.structs.replace(plain, **fields)


def plan_of(*items: PlanItem, digest: str = "sha256:" + "0" * 64) -> Plan:
    return Plan(schema_version="k8s_plan.v0", digest=digest, items=items)


def patch_of(call: list[str]) -> Any:
    (text,) = [word.removeprefix("--patch=") for word in call if word.startswith("--patch=")]
    return json.loads(text)


# an empty plan


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "kubectl\nkubectl get pods"])
def test_an_empty_plan_is_a_script_that_names_no_tool_and_does_nothing(bench: Bench, digest: str) -> None:
    script = render(plan_of(digest=digest))
    assert "kubectl" not in script.lower()
    done, calls = bench.run(script, "--dry-run=server", "whatever")
    assert (done.returncode, done.stdout, done.stderr, calls) == (0, "", "", [])


def test_the_script_of_an_empty_plan_needs_no_program_at_all(bench: Bench) -> None:
    bench.environment = {"PATH": "", "MODEKEEPER_KILL_SWITCH": "1"}
    assert bench.run(render(build_plan([])))[0].returncode == 0


# a plan with items


def test_a_cold_item_is_one_patch_of_the_template(bench: Bench) -> None:
    plan = build_plan([change(BUCKET)])
    done, calls = bench.run(render(plan))
    assert done.returncode == 0, done.stderr
    (call,) = calls
    assert call[:3] == ["patch", "--namespace=ml", "--type=merge"]
    assert patch_of(call) == plan.items[0].patch
    assert call[-2:] == ["--", "Deployment/trainer"]


KUBECTL_NAMES = {
    "Deployment": "Deployment/trainer",
    "StatefulSet": "StatefulSet/trainer",
    "Job": "Job/trainer",
    "JobSet": "jobsets.jobset.x-k8s.io/trainer",
    "LeaderWorkerSet": "leaderworkersets.leaderworkerset.x-k8s.io/trainer",
    "PyTorchJob": "pytorchjobs.kubeflow.org/trainer",
    "TrainJob": "trainjobs.trainer.kubeflow.org/trainer",
    "RayCluster": "rayclusters.ray.io/trainer",
    "RayJob": "rayjobs.ray.io/trainer",
    "VolcanoJob": "jobs.batch.volcano.sh/trainer",
}


@pytest.mark.parametrize("kind", [known.kind for known in WORKLOAD_KINDS])
def test_a_kind_outside_the_built_in_groups_is_named_with_its_group(kind: str, bench: Bench) -> None:
    done, (call,) = bench.run(render(plan_of(item(Actuation.COLD, kind=kind))))
    assert done.returncode == 0, done.stderr
    assert call[-2:] == ["--", KUBECTL_NAMES[kind]]


def test_a_hot_item_patches_the_object_and_then_each_of_its_live_pods(bench: Bench) -> None:
    plan = build_plan([change(WORKERS, PREFETCH)])
    done, calls = bench.run(render(plan))
    assert done.returncode == 0, done.stderr
    look, pods, *patched = calls
    assert look[0] == "get"
    assert look[-2:] == ["--", "Deployment/trainer"]
    assert "--selector=app=trainer" in pods
    assert "--namespace=ml" in pods
    assert pods[-2:] == ["--", "pods"]
    assert [call[-1] for call in patched] == ["Deployment/trainer", "pod/trainer-1", "pod/trainer-2"]
    for call in patched:
        assert call[:3] == ["patch", "--namespace=ml", "--type=merge"]
        assert patch_of(call) == plan.items[0].patch


@pytest.mark.parametrize("selector", ["", ",", "!", "!app=trainer,", "app=trainer,\n--all,", "a=$(id),", "a b=c,"])
def test_an_empty_or_odd_selector_stops_the_script_before_any_change(bench: Bench, selector: str) -> None:
    bench.selector = selector
    done, calls = bench.run(render(build_plan([change(WORKERS)])))
    assert done.returncode != 0
    assert "nothing is changed" in done.stderr
    assert writes(calls) == []
    assert not any(call[-1] == "pods" for call in calls)


MARKS = {
    "JobSet": "jobset.sigs.k8s.io/jobset-name",
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
    "LeaderWorkerSet": "leaderworkerset.sigs.k8s.io/name",
    "PyTorchJob": "training.kubeflow.org/job-name",
    "RayCluster": "ray.io/cluster",
    "RayJob": "ray.io/cluster",
    "VolcanoJob": "volcano.sh/job-name",
}


def hot(kind: str, **fields: Any) -> Plan:
    return plan_of(item(Actuation.HOT, kind=kind, **fields))


@pytest.mark.parametrize("kind", MARKS)
def test_pods_of_a_kind_without_a_selector_are_found_by_the_label_of_its_controller(kind: str, bench: Bench) -> None:
    assert set(MARKS) == set(POD_MARKS)
    bench.selector = "trainer-abcde"  # what the fake tool says of any object
    done, calls = bench.run(render(hot(kind)), "--dry-run=server", "--context=x")
    assert done.returncode == 0, done.stderr
    reads = [call for call in calls if call[0] == "get"]
    assert f"--selector={MARKS[kind]}={'trainer-abcde' if kind == 'RayJob' else 'trainer'}" in reads[-1]
    assert reads[-1][-2:] == ["--", "pods"]
    assert all("--context=x" in call and "--namespace=ml" in call for call in reads)
    # Only a RayJob has to be asked: the label names the cluster it made.
    assert [call[-1] for call in reads[:-1]] == ([KUBECTL_NAMES[kind]] if kind == "RayJob" else [])
    assert [call[-1] for call in writes(calls)] == [KUBECTL_NAMES[kind], "pod/trainer-1", "pod/trainer-2"]


NO_LABEL_VALUES = ["", "a,app=b", "a=b", "a/b", "$(touch canary)", "a\nb", "-a", "a.", "a b", "'", "<no value>", "!a"]


@pytest.mark.parametrize("text", NO_LABEL_VALUES)
def test_a_name_that_could_be_taken_for_other_labels_stops_the_script(text: str, bench: Bench) -> None:
    for plan in (hot("JobSet", name=text), hot("RayJob")):
        bench.selector = text
        done, calls = bench.run(render(plan))
        assert done.returncode != 0
        assert "nothing is changed" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert writes(calls) == []
        assert not any(call[-1] == "pods" for call in calls)


def test_an_error_shows_a_hostile_name_escaped(bench: Bench) -> None:
    done, _ = bench.run(render(hot("JobSet", name="a\x1b[2J\nb")))
    assert done.returncode != 0
    assert done.stderr.strip().isprintable()


def test_all_pods_are_found_before_the_first_change(bench: Bench) -> None:
    other = Target(namespace="ml", kind="Deployment", name="z-trainer")
    _, calls = bench.run(render(build_plan([change(WORKERS), change(WORKERS, BUCKET, target=other)])))
    kinds = [call[0] for call in calls]
    assert kinds == sorted(kinds), "every get comes before every patch"
    assert kinds.count("get") == 4
    assert kinds.count("patch") == 7


def test_an_object_without_live_pods_is_patched_alone(bench: Bench) -> None:
    bench.pods = ""
    done, calls = bench.run(render(build_plan([change(WORKERS)])))
    assert done.returncode == 0, done.stderr
    assert [call[-1] for call in writes(calls)] == ["Deployment/trainer"]


def test_a_failing_tool_stops_the_script_at_once(bench: Bench) -> None:
    bench.environment["FAIL_WITH"] = "3"
    for plan in (build_plan([change(WORKERS)]), build_plan([change(BUCKET), change(WORKERS)])):
        done, calls = bench.run(render(plan))
        assert done.returncode != 0
        assert len(calls) == 1


def test_options_reach_every_call_and_reading_never_sees_a_dry_run(bench: Bench) -> None:
    options = ["--dry-run=server", "--context=it's $(id) mine", "--field-manager=me"]
    done, calls = bench.run(render(build_plan([change(WORKERS)])), *options)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 5
    for call in calls:
        assert "--context=it's $(id) mine" in call
        assert ("--dry-run=server" in call) is (call[0] == "patch")
    for call in writes(calls):
        assert call.index("--namespace=ml") > call.index("--dry-run=server"), "the plan's own options come last"


@pytest.mark.parametrize("option", ["server", "--", "", "pod/other"])
def test_what_is_no_option_is_not_understood(bench: Bench, option: str) -> None:
    done, calls = bench.run(render(build_plan([change(WORKERS)])), "--dry-run=server", option)
    assert done.returncode == 2
    assert calls == []


@pytest.mark.parametrize("value", ["1", "yes", "nonsense"])
def test_the_kill_switch_stops_the_script_too(bench: Bench, value: str) -> None:
    bench.environment["MODEKEEPER_KILL_SWITCH"] = value
    done, calls = bench.run(render(build_plan([change(WORKERS)])), "--dry-run=server")
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith("ERROR: MODEKEEPER_KILL_SWITCH")


@pytest.mark.parametrize("value", ["", "0", "False", "NO", "off"])
def test_a_switch_that_is_off_stops_nothing(bench: Bench, value: str) -> None:
    bench.environment["MODEKEEPER_KILL_SWITCH"] = value
    assert bench.run(render(build_plan([change(WORKERS)])))[0].returncode == 0


def test_another_tool_can_be_named(bench: Bench) -> None:
    other = bench.folder / "my kubectl"
    shutil.copy(bench.folder / "bin" / "kubectl", other)
    (bench.folder / "bin" / "kubectl").unlink()
    bench.environment["KUBECTL"] = str(other)
    assert bench.run(render(build_plan([change(WORKERS)])))[0].returncode == 0


def test_a_name_of_a_pod_is_one_word(bench: Bench) -> None:
    bench.pods = "$(id)\n--all\n*\na b\n\n`id`;id\n"
    done, calls = bench.run(render(build_plan([change(WORKERS)])))
    assert done.returncode == 0, done.stderr
    names = [call[-1] for call in writes(calls)][1:]
    assert names == ["pod/$(id)", "pod/--all", "pod/*", "pod/a b", "pod/`id`;id"]


# hostile plans: the renderer relies on nobody having checked them

HOSTILE = [
    "'",
    "''; touch canary; '",
    '"',
    '"; touch canary; "',
    "$(touch canary)",
    "`touch canary`",
    "${IFS}touch",
    "a\ntouch canary\n",
    "a\r\ntouch canary",
    "\\",
    "\\'",
    "a\\\nb",
    "; touch canary #",
    "| touch canary",
    "&& touch canary",
    "> canary",
    "--all",
    "-o=yaml",
    "--kubeconfig=evil",
    "--",
    "",
    " ",
    "*",
    "~",
    "!!",
    "{a,b}",
    "é中\U0001f600\u202e",
    "\x1b[2J",
    "\x7f",
    "%s%n",
    "EOF",
    "a" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("actuation", list(Actuation))
def test_hostile_texts_stay_what_they_are(bench: Bench, text: str, actuation: Actuation) -> None:
    bench.environment["LC_ALL"] = "C.UTF-8"
    patch, pod_patch = patches("Deployment", actuation, {f"modekeeper/knob.{text}": text, text: text})
    hostile = item(
        actuation,
        kind=text,
        namespace=text,
        name=text,
        chord_id=text,
        knobs={text: text},
        patch=patch,
        pod_patch=pod_patch,
    )
    script = render(plan_of(hostile, digest=text))
    done, calls = bench.run(script)
    assert done.returncode == 0, done.stderr
    expected = [f"{text}/{text}"]
    if actuation is Actuation.HOT:
        expected += ["pod/trainer-1", "pod/trainer-2"]
        assert calls[0][-1] == f"{text}/{text}"
        assert f"--namespace={text}" in calls[0]
    assert [call[-1] for call in writes(calls)] == expected
    for call, wanted in zip(writes(calls), [patch, pod_patch, pod_patch], strict=False):
        assert call[:3] == ["patch", f"--namespace={text}", "--type=merge"]
        assert call[-2] == "--"
        assert len(call) == 6
        assert patch_of(call) == wanted
    comments = [line for line in script.splitlines() if line.startswith("#")]
    assert not any("touch" in line for line in comments)


FIELDS = ["kind", "namespace", "name", "patch", "pod_patch"]


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "a\udfff"])
@pytest.mark.parametrize("place", FIELDS)
def test_a_text_no_program_can_be_given_is_refused(text: str, place: str) -> None:
    value: Any = {"metadata": {"annotations": {"a": [text]}}} if "patch" in place else text
    with pytest.raises(BadInputError, match="no program can be given") as caught:
        render(plan_of(item(Actuation.HOT, **{place: value})))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_a_patch_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(BadInputError, match="is no JSON"):
        render(plan_of(item(Actuation.COLD, patch={"a": value})))


def test_the_script_is_plain_ascii_for_a_plan_of_ours() -> None:
    assert render(build_plan([change(WORKERS, BUCKET)])).isascii()


SCRIPTS = {
    "empty": build_plan([]),
    "hot": build_plan([change(WORKERS)]),
    "cold": build_plan([change(BUCKET)]),
    "both": build_plan([change(WORKERS, BUCKET)]),
    "marked": plan_of(*(item(Actuation.HOT, kind=kind) for kind in MARKS)),
    "hostile": plan_of(item(Actuation.HOT, name="'; $(id)\n`id`", namespace='"'), item(Actuation.COLD, kind="--all")),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str, tmp_path: Path) -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        warnings.filterwarnings("default", message="shellcheck is not installed")
        warnings.warn("shellcheck is not installed: the rendered scripts are NOT linted here", stacklevel=1)
        pytest.skip("shellcheck is not installed")
    path = tmp_path / "k8s_plan.kubectl.sh"
    path.write_text(render(SCRIPTS[name]))
    done = subprocess.run([tool, "--norc", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


MANIFEST = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "trainer", "namespace": "ml"},
    "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
}


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        ({"matchLabels": {"app": "trainer", "role": ""}}, "app=trainer,role=,"),
        ({}, ""),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "!"),
        ({"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}, "!b=c,"),
    ],
)
def test_the_real_tool_reads_the_selector_as_meant(selector: Any, answer: str, bench: Bench) -> None:
    tool = shutil.which("kubectl")
    if tool is None:
        pytest.skip("kubectl is not installed")
    _, calls = bench.run(render(build_plan([change(WORKERS)])))
    (template,) = [word for word in calls[0] if word.startswith("--output=")]
    manifest = bench.folder / "object.json"
    manifest.write_text(json.dumps({**MANIFEST, "spec": {**MANIFEST["spec"], "selector": selector}}))  # type: ignore[dict-item]
    done = subprocess.run(
        [tool, "patch", "--local", f"--filename={manifest}", "--type=merge", "--patch={}", template],
        env={**os.environ, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
