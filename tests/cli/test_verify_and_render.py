"""``mk verify`` and ``mk k8s render``: bad plans, reports, summaries, exit codes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.test_commands import mk
from tests.cluster_verify.worlds import KEY, item, pod, workload, world
from tests.cluster_verify.worlds import plan_of as sealed

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport, verification_digest
from modekeeper.cli import k8s_verify as command
from modekeeper.cli.main import main
from modekeeper.cluster.memory import MemoryCluster, Rule
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.model.decision import Actuation

HOT, COLD = Actuation.HOT, Actuation.COLD
READ = Rule(verbs=("get", "list", "watch"), groups=("*",))
GOOD = document(sealed(item(), item(HOT)))


def forged(*path: Any, to: Any) -> bytes:
    """The plan with one value changed, under a digest that fits."""
    plain = json.loads(GOOD)
    inner = plain
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    plain.pop("digest")
    return json.dumps({**plain, "digest": canonical_digest(plain)}).encode()


def twice() -> bytes:
    plain = json.loads(GOOD)
    plain["items"].append(plain["items"][-1])
    plain.pop("digest")
    return json.dumps({**plain, "digest": canonical_digest(plain)}).encode()


BAD_PLANS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "cannot be read"),
    "no JSON": (b"{", "cannot be read"),
    "a list": (b"[]", "wrong shape"),
    "an unknown field": (forged("force", to=True), "unknown field"),
    "an unknown field of an item": (forged("items", 0, "force", to=True), "unknown field"),
    "two items for one object": (twice(), "repeated"),
    "a name that is none": (forged("items", 0, "name", to="Train_er"), "no object name"),
    "a name with a line break": (forged("items", 0, "name", to="a\nb"), "no object name"),
    "a name with a command": (forged("items", 0, "name", to="$(id)"), "no object name"),
    "a namespace with dots": (forged("items", 0, "namespace", to="a.b"), "no namespace"),
    "a namespace that climbs": (forged("items", 0, "namespace", to="../kube-system"), "no namespace"),
    "a kind with a slash": (forged("items", 0, "kind", to="Deployment/x"), "no kind"),
    "a value with quotes": (forged("items", 0, "knobs", "dataloader_prefetch_factor", to="4'\""), "no value of a knob"),
    "a value with a line break": (
        forged("items", 0, "knobs", "dataloader_prefetch_factor", to="4\n"),
        "no value of a knob",
    ),
    "a value with a command": (
        forged("items", 0, "knobs", "dataloader_prefetch_factor", to="$(reboot)"),
        "no value of a knob",
    ),
    "a patch of more than its knobs": (forged("items", 0, "patch", "spec", "replicas", to=0), "more or less"),
    "changed by hand": (GOOD.replace(b'"4"', b'"8"'), "it was changed"),
    "another schema": (forged("schema_version", to="k8s_plan.v9"), "has the schema"),
    "too large": (b" " * (5 * 1024 * 1024), "larger than"),
}


@contextmanager
def watched_server(folder: Path) -> Iterator[tuple[Path, list[Any]]]:
    """A kubeconfig of a server that notes every knock at its door."""
    knocks: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, who = server.accept()
                except OSError:
                    return
                knocks.append(who)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "kubeconfig.json"
        path.write_text(json.dumps(config))
        yield path, knocks
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("words", [["k8s", "verify"], ["k8s", "render"]], ids=lambda words: words[1])
@pytest.mark.parametrize("what", BAD_PLANS)
def test_a_bad_plan_is_one_line_an_artifact_and_no_question(what: str, words: list[str], tmp_path: Path) -> None:
    data, expected = BAD_PLANS[what]
    (tmp_path / "plan.json").write_bytes(data)
    with watched_server(tmp_path) as (config, knocks):
        done = mk(*words, "--plan", "plan.json", "--out", "out", cwd=tmp_path, KUBECONFIG=str(config))
    assert done.returncode == 2, done.stderr
    errors = done.stderr.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("ERROR: ")
    assert expected in errors[0]
    assert knocks == []
    report = json.loads((tmp_path / f"out/k8s_{words[1]}_latest.json").read_text())
    assert report["ok"] is False
    assert report["plan_digest"] is None
    said = report["verify_blocker"]["detail"] if words[1] == "verify" else report["error"]
    assert expected in said
    assert not (tmp_path / "out/k8s_plan.kubectl.sh").exists()


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    done = mk("verify", "--plan", "nope.json", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert json.loads((tmp_path / "out/k8s_verify_latest.json").read_text())["ok"] is False


def test_an_output_folder_that_is_none_comes_before_everything(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(GOOD)
    (tmp_path / "a-file").write_text("")
    done = mk("verify", "--plan", "plan.json", "--out", "a-file", cwd=tmp_path)
    assert done.returncode == 2
    assert "--out" in done.stderr


BAD_OPTIONS = {
    "no plan": ([], "--plan"),
    "no time to be valid": (["--valid-for", "0"], "--valid-for"),
    "valid for ever": (["--valid-for", "2d"], "--valid-for"),
    "no time for an answer": (["--request-timeout", "0"], "--request-timeout"),
    "recorded and replayed": (["--record-cluster", "a", "--replay-cluster", "b"], "contradict"),
    "a replay of a context": (["--replay-cluster", "b", "--context", "c"], "asks no cluster"),
    "no such client": (["--cluster-client", "telepathy"], "kubectl"),
}


@pytest.mark.parametrize("what", BAD_OPTIONS)
def test_bad_options_are_one_line(what: str, tmp_path: Path) -> None:
    words, expected = BAD_OPTIONS[what]
    (tmp_path / "plan.json").write_bytes(GOOD)
    plan = [] if what == "no plan" else ["--plan", "plan.json"]
    done = mk("verify", *plan, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr


def test_a_kubeconfig_that_is_not_there_is_bad_input_with_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(GOOD)
    done = mk("verify", "--plan", "plan.json", "--out", "out", "--kubeconfig", "nope.yaml", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    report = json.loads((tmp_path / "out/k8s_verify_latest.json").read_text())
    assert report["verify_blocker"]["kind"] == "client_unavailable"
    assert report["plan_digest"] == json.loads(GOOD)["digest"]


def test_a_cluster_that_closes_the_door_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(GOOD)
    with watched_server(tmp_path) as (config, knocks):
        words = ["verify", "--plan", "plan.json", "--out", "out", "--request-timeout", "2s"]
        done = mk(*words, cwd=tmp_path, KUBECONFIG=str(config))
    assert knocks
    assert done.returncode == 1, done.stdout + done.stderr
    assert "client_unavailable" in done.stderr
    report = json.loads((tmp_path / "out/k8s_verify_latest.json").read_text())
    assert report["verify_blocker"]["kind"] == "client_unavailable"
    assert [each["blocker"] for each in report["items"]] == ["client_unavailable"] * 2


# Over a cluster in memory

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``mk verify`` of a plan on a cluster: its exit code and its report."""
    monkeypatch.setenv("MODEKEEPER_PINNED_CLOCK", "2026-01-31T09:00:00Z")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBECTL", raising=False)

    def verify(cluster: MemoryCluster, *items: Any, out: str = "out", words: tuple[str, ...] = ()) -> Any:
        @contextmanager
        def opened(*_: Any) -> Iterator[MemoryCluster]:
            yield cluster

        monkeypatch.setattr(command, "opened_cluster", opened)
        (tmp_path / "plan.json").write_bytes(document(sealed(*items)))
        plan, folder = str(tmp_path / "plan.json"), tmp_path / out
        code = main(["k8s", "verify", "--plan", plan, "--out", str(folder), *words])
        return code, json.loads((folder / "k8s_verify_latest.json").read_text())

    return verify


def test_a_verified_plan_is_bound_to_its_plan_and_cluster(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = world(("Deployment", workload()), pods=(pod(),))
    code, report = run(cluster, item(), item(HOT))
    assert code == 0
    assert report["ok"] is True
    assert report["verify_blocker"] is None
    assert report["plan_digest"] == sealed(item(), item(HOT)).digest
    assert report["cluster"]["server"] == "https://memory.invalid:6443"
    assert report["cluster"]["uid"]
    assert report["verified_at"] == "2026-01-31T09:00:00.000Z"
    assert report["verification_expires_at"] == "2026-01-31T09:15:00.000Z"
    assert (report["schema_version"], report["duration_s"]) == ("v0", 0)
    assert report["items"] == report["checks"]["items"]
    first = report["items"][0]
    assert (first["index"], first["exists"], first["can_get"], first["can_patch"]) == (0, True, True, True)
    assert first["uid"]
    assert first["resource_version"]
    assert first["live_values"] == {"modekeeper/knob.dataloader_prefetch_factor": None}
    shown = capsys.readouterr().out
    assert shown.startswith("VERIFIED  the cluster would accept 2 changes, good until 2026-01-31T09:15:00.000Z\n")
    assert "verify_ok=true verify_blocker=none items=2 items_ok=2" in shown


def test_the_digest_covers_everything_but_itself(run: Run) -> None:
    _, plain = run(world(("Deployment", workload())), item())
    report = msgspec.convert(plain, K8sVerifyReport)
    assert verification_digest(report) == report.verification_digest
    assert (
        canonical_digest({key: plain[key] for key in plain if key != "verification_digest"})
        == plain["verification_digest"]
    )
    for name in ("ok", "plan_digest", "verification_expires_at", "cluster", "items", "checks"):
        changed = msgspec.structs.replace(report, **{name: None})
        assert verification_digest(changed) != report.verification_digest


def test_the_same_facts_are_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for out in ("one", "two"):
        run(world(("Deployment", workload()), pods=(pod(),)), item(), item(HOT), out=out)
    one, two = ((tmp_path / out / "k8s_verify_latest.json").read_text() for out in ("one", "two"))
    first, second = json.loads(one.replace("/one/", "/two/")), json.loads(two)
    assert first | {"verification_digest": ""} == second | {"verification_digest": ""}


def test_how_long_it_is_good_for_can_be_chosen(run: Run) -> None:
    _, report = run(world(("Deployment", workload())), item(), words=("--valid-for", "90s"))
    assert report["verification_expires_at"] == "2026-01-31T09:01:30.000Z"


def test_a_denied_plan_says_what_to_ask_for(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = world(("Deployment", workload()), pods=(pod(),), rules=[READ], user="guest")
    code, report = run(cluster, item(), item(HOT))
    assert code == 2
    assert report["verify_blocker"]["kind"] == "rbac_denied"
    assert (report["verify_blocker"]["index"], report["verify_blocker"]["name"]) == (0, "trainer")
    assert [(hint["verb"], hint["resource"]) for hint in report["access_hints"]] == [
        ("patch", "pods"),
        ("patch", "deployments"),
    ]
    assert report["role_yaml"].count("kind: Role\n") == 2
    said = capsys.readouterr()
    assert said.out.startswith("NOT VERIFIED  rbac_denied: ")
    assert "(and 1 more change not verified)" in said.out.splitlines()[0]
    assert "restart, its pods are replaced" in said.out
    assert said.err.startswith("ERROR: the plan is not verified: rbac_denied: ")
    summary = (tmp_path / "out/k8s_verify_summary.md").read_text()
    assert "## What to ask for" in summary
    assert "kind: RoleBinding" in summary


CARRIED: dict[str, tuple[dict[str, str], list[str | None], str]] = {
    "the pods alone": ({}, ["2", "2"], "2 (on the object: not set) → 4"),
    "both": ({KEY: "2"}, ["2", "2"], "2 → 4"),
    "the object alone": ({KEY: "2"}, [None, None], "(not set) (on the object: 2) → 4"),
    "neither": ({}, [None, None], "(not set) → 4"),
    "pods that differ": ({KEY: "2"}, ["2", "3"], "(pods differ) (on the object: 2) → 4"),
    "no pods": ({KEY: "2"}, [], "(no live pods) (on the object: 2) → 4"),
    "something hostile": ({}, ["\x1b[2J" + "a" * 99], "\\u001b[2J" + "a" * 50 + "… (on the object: not set) → 4"),
}


@pytest.mark.parametrize("what", CARRIED)
def test_a_hot_change_is_told_from_what_the_pods_carry(
    what: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded, carried, told = CARRIED[what]
    pods = []
    for number, value in enumerate(carried):
        pods.append(pod(f"trainer-{number}"))
        pods[-1]["metadata"]["annotations"] = {} if value is None else {KEY: value}
    run(world(("Deployment", workload(metadata={"annotations": recorded})), pods=tuple(pods)), item(HOT))
    assert f"dataloader_prefetch_factor {told}\n" in capsys.readouterr().out
    summary = (tmp_path / "out/k8s_verify_summary.md").read_text()
    assert "\x1b" not in summary
    assert what == "something hostile" or f"prefetch_factor {told}\n" in summary.replace("\\", "")


def test_a_plan_a_repository_owns_comes_with_a_patch_for_it(run: Run, tmp_path: Path) -> None:
    owned = workload(metadata={"labels": {"argocd.argoproj.io/instance": "train"}})
    code, report = run(world(("Deployment", owned)), item())
    assert code == 2
    assert report["verify_blocker"]["kind"] == "unknown"
    assert "## The same change for the repository" in (tmp_path / "out/k8s_verify_summary.md").read_text()


# Diagnostics


def diagnostics_events(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "explain.jsonl").read_text().splitlines()]
    return [line["payload"] for line in lines if line["event"] == "k8s_verify_diagnostic"]


def test_diagnostics_of_one_namespace(run: Run, tmp_path: Path) -> None:
    _, report = run(world(("Deployment", workload()), rules=[READ]), item())
    assert report["diagnostics"] == {
        "kubectl_version": None,
        "server_version": "v1.35.4",
        "auth_can_i_get_deployments": True,
        "auth_can_i_patch_deployments": False,
        "auth_can_i_get_deployments_by_namespace": {"train": True},
        "auth_can_i_patch_deployments_by_namespace": {"train": False},
    }
    assert diagnostics_events(tmp_path / "out") == [{"name": "kubectl_version", "error": "kubectl_not_found"}]


def test_diagnostics_of_several_namespaces(run: Run, tmp_path: Path) -> None:
    cluster = world(("Deployment", workload()))
    _, report = run(cluster, item(namespace="nowhere"), item())
    diagnostics = report["diagnostics"]
    assert diagnostics["auth_can_i_patch_deployments"] is None
    assert diagnostics["auth_can_i_patch_deployments_by_namespace"] == {"nowhere": None, "train": True}
    events = [(event["name"], event["error"]) for event in diagnostics_events(tmp_path / "out")]
    assert ("auth_can_i_get_deployments", "namespace_unavailable") in events
    assert ("auth_can_i_patch_deployments", "namespace_unavailable") in events
    assert ("auth_can_i_patch_deployments", "namespace_missing") in events
    assert [(each["name"], each["exists"], each["items"]) for each in report["namespaces"]] == [
        ("nowhere", False, [0]),
        ("train", True, [1]),
    ]


def test_diagnostics_of_an_empty_plan(run: Run, tmp_path: Path) -> None:
    code, report = run(world())
    assert (code, report["ok"], report["items"]) == (0, True, [])
    events = [(event["name"], event["error"]) for event in diagnostics_events(tmp_path / "out")]
    assert ("auth_can_i_patch_deployments", "namespace_unavailable") in events


def test_an_empty_plan_is_not_verified_by_silence(run: Run) -> None:
    cluster = world()
    cluster.fail("server_version", ClusterUnreachableError("No answer."), times=None)
    code, report = run(cluster)
    assert (code, report["ok"]) == (1, False)
    assert report["verify_blocker"]["kind"] == "client_unavailable"


def test_a_diagnostic_that_fails_stops_nothing(run: Run, tmp_path: Path) -> None:
    cluster = world(("Deployment", workload()))
    cluster.fail("can_i", cluster.failure(500), times=None)
    cluster.fail("server_version", cluster.failure(500), times=None)
    code, report = run(cluster, item())
    assert code == 0
    assert report["diagnostics"]["server_version"] is None
    assert {event["name"] for event in diagnostics_events(tmp_path / "out")} >= {
        "server_version",
        "auth_can_i_get_deployments",
        "auth_can_i_patch_deployments",
    }


KUBECTLS: dict[str, tuple[str, dict[str, Any]]] = {
    "good": ("""echo '{"clientVersion": {"gitVersion": "v1.35.4"}}'""", {}),
    "failing": ("echo broken >&2; exit 3", {"error": "failed", "rc": 3, "stderr": "broken"}),
    "babbling": ("echo hello", {"error": "not_understood", "rc": 0}),
}


@pytest.mark.parametrize("what", KUBECTLS)
def test_kubectl_is_asked_for_its_version_where_it_is(
    what: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, failure = KUBECTLS[what]
    program = tmp_path / "my-kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("KUBECTL", str(program))
    _, report = run(world(("Deployment", workload())), item())
    assert report["diagnostics"]["kubectl_version"] == (None if failure else "v1.35.4")
    expected = [{"name": "kubectl_version", **failure}] if failure else []
    assert diagnostics_events(tmp_path / "out") == expected


def test_hostile_words_of_a_cluster_stay_words(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31m\u202e](javascript:x)`<b>\n# "
    cluster = world(("Deployment", workload(metadata={"labels": {"argocd.argoproj.io/instance": evil}})))
    run(cluster, item())
    said = capsys.readouterr()
    summary = (tmp_path / "out/k8s_verify_summary.md").read_text()
    for text in (said.out, said.err, summary):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\n# \n" not in summary
    assert "<b>" not in summary


# A thousand


def test_a_plan_of_a_thousand_items_is_fine(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"trainer-{number:04}" for number in range(1000)]
    cluster = world(*(("Deployment", workload(metadata={"name": name})) for name in names))
    code, report = run(cluster, *(item(name=name) for name in names))
    assert code == 0
    assert len(report["items"]) == 1000
    assert len(capsys.readouterr().out.splitlines()) < 100
    assert (tmp_path / "out/k8s_verify_summary.md").stat().st_size < 500_000


# Render


def test_a_plan_is_rendered_and_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(GOOD)
    with watched_server(tmp_path) as (config, knocks):
        done = mk("k8s", "render", "--plan", "plan.json", "--out", "out", cwd=tmp_path, KUBECONFIG=str(config))
    assert done.returncode == 0, done.stderr
    assert knocks == []
    report = json.loads((tmp_path / "out/k8s_render_latest.json").read_text())
    assert (report["ok"], report["plan_items"], report["schema_version"]) == (True, 2, "v0")
    script = (tmp_path / "out/k8s_plan.kubectl.sh").read_text()
    assert report["plan_digest"] in script
    assert "plan_ok=true items=2" in done.stdout


def test_an_empty_plan_renders_to_a_script_without_kubectl(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(document(sealed()))
    done = mk("k8s", "render", "--plan", "plan.json", "--out", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan_items"] == 0
    assert "kubectl" not in (tmp_path / "out/k8s_plan.kubectl.sh").read_text()
