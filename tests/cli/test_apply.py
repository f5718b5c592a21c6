"""``mk k8s apply`` and ``mk k8s rollback`` of the public package: who may act, who refuses, and what is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.test_commands import mk
from tests.cli.test_verify_and_render import GOOD, watched_server
from tests.cluster_verify.worlds import KEY, item, plan_of, pod, workload, world
from tests.published import check_all
from tests.trust.approving import APPROVERS_FILE, approval

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import parse_iso
from modekeeper.cli import actuators
from modekeeper.cli.clocks import PinnedClock
from modekeeper.cli.main import main
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.verify.gather import gather
from modekeeper.model.decision import Actuation, BlockReason, Plan
from modekeeper.model.errors import BadInputError, FailedError, RefusedError
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.ports.actuator import ApplyOrder
from modekeeper.reports.folder.verify_run import VerifyRun

NOW = "2026-01-31T09:00:00Z"
HOT = plan_of(item(Actuation.HOT))
COLD = plan_of(item(Actuation.COLD))
FIXED_LINE = "ERROR: verify_ok=true is required for apply/mutate operations\n"

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEKEEPER_PINNED_CLOCK", NOW)
    for name in (
        "MODEKEEPER_KILL_SWITCH",
        "MODEKEEPER_INTERNAL_OVERRIDE",
        "MODEKEEPER_LICENSE_PATH",
        "MODEKEEPER_APPROVERS_PATH",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "plan.json").write_bytes(document(HOT))
    return tmp_path


def verified(folder: str, plan: Plan = HOT, at: str = NOW, *, held: dict[str, str] | None = None) -> Path:
    """Verify a plan on a cluster in memory; where the verification is."""
    annotations = held or {}
    cluster = world(("Deployment", workload(metadata={"annotations": annotations})), pods=(pod(),))
    run = VerifyRun(FolderStore(Path(folder)), "plan.json", 900.0, PinnedClock(parse_iso(at)))
    assert run.judged(gather(cluster, plan), KubectlVersion(error="replayed")).ok
    return Path(folder) / "k8s_verify_latest.json"


def attempt(*words: str, command: str = "apply", out: str = "out") -> tuple[int, dict[str, Any]]:
    code = main(["k8s", command, "--out", out, *words])
    return code, json.loads((Path(out) / "k8s_apply_latest.json").read_text())


def apply(*words: str, plan: str = "plan.json") -> tuple[int, dict[str, Any]]:
    return attempt("--plan", plan, *words)


def changed(path: Path, **fields: Any) -> str:
    """The file with other values under its old digest."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return str(path)


# Without the licensed package


def test_without_the_licensed_package_nothing_is_changed_and_every_reason_is_told(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    code, report = apply()
    assert code == 2
    assert report["block_reasons"] == ["pro_not_installed", "verify_missing"]
    assert report["block_reason"] == report["reason"] == report["apply_blocked_reason"] == "pro_not_installed"
    assert (report["apply_requested"], report["dry_run"]) == (True, False)
    assert (report["apply_attempted"], report["apply_ok"], report["verify_ok"]) == (False, False, None)
    assert report["license"] is None
    assert report["plan_digest"] == HOT.digest
    assert report["items"] == report["checks"]["items"]
    (only,) = report["items"]
    assert (only["status"], only["wanted"], only["receipt"]) == ("refused", {KEY: "4"}, None)
    said = capsys.readouterr()
    assert said.err.startswith("ERROR: apply refused (pro_not_installed): ")
    assert said.err.count("\n") == 1
    assert "apply_ok=false block_reason=pro_not_installed items=1 items_done=0" in said.out
    assert check_all(place / "out") > 3
    assert json.loads((place / "out/policy_bundle_latest.json").read_text())["plan_digest"] == HOT.digest


def test_no_cluster_is_asked(place: Path) -> None:
    (place / "good.json").write_bytes(GOOD)
    with watched_server(place) as (config, knocks):
        done = mk("k8s", "apply", "--plan", "good.json", "--out", "out", cwd=place, KUBECONFIG=str(config))
        back = mk("k8s", "rollback", "--out", "out", cwd=place, KUBECONFIG=str(config))
    assert (done.returncode, back.returncode) == (2, 2)
    assert knocks == []


@pytest.mark.parametrize("words", [["--force"], ["--license-path", "nope.json"], ["--approve-advanced"]])
@pytest.mark.parametrize("name", ["MODEKEEPER_INTERNAL_OVERRIDE", "MODEKEEPER_PAID"])
def test_nothing_bypasses_anything(words: list[str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    code, report = apply(*words)
    assert (code, report["block_reasons"]) == (2, ["pro_not_installed", "verify_missing"])
    assert report["force_requested"] is ("--force" in words)
    assert report["internal_override_ignored"] is (name == "MODEKEEPER_INTERNAL_OVERRIDE")


# The kill-switch


def test_the_kill_switch_comes_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODEKEEPER_KILL_SWITCH", "1")
    monkeypatch.setenv("MODEKEEPER_INTERNAL_OVERRIDE", "1")
    code, report = apply("--force", plan="nope.json")
    assert code == 2
    assert report["block_reason"] == "kill_switch_active"
    assert (report["kill_switch_active"], report["kill_switch_signal"]) == (True, "env:MODEKEEPER_KILL_SWITCH")
    said = capsys.readouterr().err
    assert said == "ERROR: apply refused (kill_switch_active): MODEKEEPER_KILL_SWITCH is set. Nothing was changed.\n"


@pytest.mark.parametrize("command", ["apply", "rollback"])
def test_a_file_stops_both_commands(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "stop").touch()
    words = ["--plan", "plan.json"] if command == "apply" else []
    code, report = attempt(*words, "--kill-switch-file", "stop", command=command)
    assert (code, report["block_reason"], report["kill_switch_signal"]) == (2, "kill_switch_active", "file:stop")
    said = capsys.readouterr().err
    assert "MODEKEEPER_KILL_SWITCH" in said
    assert "file:stop" in said
    assert said.count("\n") == 1


def test_a_switch_that_says_off_stops_nothing(place: Path) -> None:
    (place / "stop").write_text("off\n")
    _, report = apply("--kill-switch-file", "stop")
    assert (report["kill_switch_active"], report["kill_switch_signal"]) == (False, None)
    assert report["block_reason"] == "pro_not_installed"


# The verification


def test_a_verification_in_the_folder_is_found(place: Path) -> None:
    verified("out")
    _, report = apply()
    assert report["block_reasons"] == ["pro_not_installed"]
    assert report["verify_ok"] is True
    assert report["verify_report_path"] == "out/k8s_verify_latest.json"
    assert report["verification_digest"].startswith("sha256:")


VERIFICATIONS: dict[str, tuple[Callable[[], str], list[str]]] = {
    "good": (lambda: str(verified("v")), []),
    "of another plan": (lambda: str(verified("v", COLD)), ["verify_plan_mismatch"]),
    "expired": (lambda: str(verified("v", at="2026-01-31T08:45:00Z")), ["verify_expired"]),
    "of the last moment": (lambda: str(verified("v", at="2026-01-31T08:45:00.001Z")), []),
    "of the future": (lambda: str(verified("v", at="2026-01-31T09:00:01Z")), ["verify_expired"]),
    "changed to ok": (lambda: changed(verified("v", COLD), plan_digest=HOT.digest), ["verify_failed"]),
    "with a field more": (lambda: changed(verified("v"), clearance=True), ["verify_failed"]),
    "not there": (lambda: "nope.json", ["verify_failed"]),
    "a folder": (lambda: ".", ["verify_failed"]),
    "the plan itself": (lambda: "plan.json", ["verify_failed"]),
}


@pytest.mark.parametrize("what", VERIFICATIONS)
def test_a_verification_is_worth_what_it_says_of_this_plan_now(what: str) -> None:
    make, reasons = VERIFICATIONS[what]
    code, report = apply("--verify-report", make())
    assert (code, report["block_reasons"]) == (2, ["pro_not_installed", *reasons])
    assert report["verify_ok"] is (not reasons)


def test_a_failed_verification_is_failed_and_every_other_reason_is_told_too(place: Path) -> None:
    run = VerifyRun(FolderStore(place / "v"), "plan.json", 1.0, PinnedClock(parse_iso("2026-01-31T08:00:00Z")))
    run.judged(gather(world(), COLD), KubectlVersion(error="replayed"))
    _, report = apply("--verify-report", "v/k8s_verify_latest.json")
    assert report["block_reasons"] == ["pro_not_installed", "verify_failed", "verify_plan_mismatch", "verify_expired"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xef\xbb\xbf{}", b"[]", b"{}", b'{"ok": true, "ok": false}'])
def test_a_verification_in_the_folder_that_is_none_is_no_pass(content: bytes, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out/k8s_verify_latest.json").write_bytes(content)
    _, report = apply()
    assert report["block_reasons"] == ["pro_not_installed", "verify_failed"]
    (place / "out/k8s_verify_latest.json").unlink()


def test_a_verification_in_the_folder_that_leads_nowhere_is_no_pass(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out/k8s_verify_latest.json").symlink_to("nothing")
    _, report = apply()
    assert report["block_reasons"] == ["pro_not_installed", "verify_failed"]


# Approval


def test_what_restarts_pods_needs_a_yes(place: Path) -> None:
    (place / "cold.json").write_bytes(document(COLD))
    (place / "yes.json").write_text("{}")
    verified("out", COLD)
    _, report = apply(plan="cold.json")
    assert report["block_reasons"] == ["pro_not_installed", "approval_required"]
    assert (report["approval"]["required"], report["approval"]["approved"]) == (True, False)
    _, report = apply("--approval", "yes.json", plan="cold.json")
    assert report["block_reasons"] == ["pro_not_installed", "approval_required"]
    assert (report["approval"]["approved"], report["approval"]["approval_path"]) == (False, "yes.json")
    assert report["approval"]["failure_code"] == "schema_unsupported"
    _, report = apply("--approve-advanced", plan="cold.json")
    assert report["block_reasons"] == ["pro_not_installed"]
    assert report["approval"]["approved"] is True


@pytest.fixture
def yes(place: Path) -> str:
    """A second person's approval of the cold plan, and a folder with whose key it is."""
    (place / "cold.json").write_bytes(document(COLD))
    verified("out", COLD)
    times = {"approved_at": NOW, "expires_at": "2026-02-01T09:00:00Z"}
    uid = json.loads((place / "out/k8s_verify_latest.json").read_text())["cluster"]["uid"]
    (place / "yes.json").write_bytes(approval(plan_digest=COLD.digest, cluster_uid=uid, **times))
    (place / "approvers.json").write_bytes(APPROVERS_FILE)
    return "yes.json"


def test_a_second_persons_signature_is_checked_without_the_licensed_package_too(
    yes: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, report = apply("--approval", yes, "--approvers", "approvers.json", plan="cold.json")
    assert report["block_reasons"] == ["pro_not_installed"]
    said = report["approval"]
    assert (said["required"], said["approved"], said["signed_by"]) == (True, True, ["ada"])
    assert (said["approver"], said["approval_path"], said["failure_code"]) == ("Ada Lovelace", yes, None)
    assert check_all(place / "out") > 3
    events = [json.loads(line) for line in (place / "out/explain.jsonl").read_text().splitlines()]
    assert [each["payload"]["signed_by"] for each in events if each["event"] == "apply_approval"] == [["ada"]]
    monkeypatch.setenv("MODEKEEPER_APPROVERS_PATH", "approvers.json")
    _, report = apply("--approval", yes, plan="cold.json")
    assert report["approval"]["signed_by"] == ["ada"]


def test_a_signature_that_is_not_good_stops_what_was_approved_otherwise(yes: str, place: Path) -> None:
    _, report = apply("--approval", yes, "--approve-advanced", plan="cold.json")
    assert report["block_reasons"] == ["pro_not_installed", "approval_required"]
    assert (report["approval"]["approved"], report["approval"]["failure_code"]) == (False, "approvers_not_given")
    verified("out", HOT)
    _, report = apply("--approval", yes, "--approvers", "approvers.json")
    assert report["block_reasons"] == ["pro_not_installed", "approval_required"]
    assert (report["approval"]["required"], report["approval"]["failure_code"]) == (False, "plan_mismatch")


def test_an_approval_that_cannot_be_read_is_not_taken_for_none(
    yes: str, place: Path, installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Door(None)
    installed(lambda: door)
    (place / yes).chmod(0o646)
    code, report = apply("--approval", yes, "--approvers", "approvers.json", "--approve-advanced", plan="cold.json")
    assert code == 2
    assert report["block_reasons"] == ["approval_required"]
    assert report["approval"]["failure_code"] == "approval_file_world_writable"
    assert "may be written by everybody" in capsys.readouterr().err
    assert door.orders == []


def test_who_applies_is_handed_the_approval_and_where_the_keys_are(yes: str, place: Path, installed: Any) -> None:
    door = Door(FailedError("nothing here"))
    installed(lambda: door)
    apply("--approval", yes, "--approvers", "approvers.json", plan="cold.json")
    (order,) = door.orders
    assert order.approval is not None
    assert (order.approval.path, order.approval.data) == (yes, (place / yes).read_bytes())
    assert order.approvers_path == "approvers.json"


def test_an_advanced_chord_needs_a_yes_and_so_does_one_nobody_knows(place: Path) -> None:
    hot = item(Actuation.HOT)
    for chord_id, needed in (
        ("TIMEOUT-GUARD", True),
        ("MY-OWN", True),
        ("DRIFT-RETUNE,MY-OWN", True),
        ("DRIFT-RETUNE", False),
    ):
        plan = plan_of(msgspec.structs.replace(hot, chord_id=chord_id))
        (place / "other.json").write_bytes(document(plan))
        _, report = apply(plan="other.json")
        assert report["approval"]["required"] is needed, chord_id


# Plans


@pytest.mark.parametrize("content", [None, b"", b"{}", document(HOT).replace(b'"4"', b'"8"')])
def test_a_plan_that_is_none_is_one_line_and_an_artifact(
    content: bytes | None, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (place / "bad.json").write_bytes(content)
    code, report = apply(plan="bad.json")
    assert code == 2
    assert (report["plan_digest"], report["items"], report["approval"]["required"]) == (None, [], None)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "plan" in said
    assert report["detail"] in said.replace("ERROR: ", "")


def test_a_recording_is_no_cluster_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["k8s", "apply", "--plan", "plan.json", "--replay-cluster", "x"]) == 2
    assert "neither recorded nor replayed" in capsys.readouterr().err


# The way back


def test_the_way_back_is_what_the_verification_saw(place: Path) -> None:
    verified("out", held={KEY: "2"})
    _, report = apply()
    assert report["rollback_plan_path"] == "out/rollback_plan_latest.json"
    undo = parse_rollback_plan((place / "out/rollback_plan_latest.json").read_bytes())
    assert undo.plan_digest == HOT.digest
    assert (undo.items[0].keys[KEY].value, undo.items[0].keys[KEY].source) == ("2", "cluster")
    bundle = json.loads((place / "out/policy_bundle_latest.json").read_text())
    assert bundle["rollback"] == {
        "from_verify_report": "out/k8s_verify_latest.json",
        "rollback_plan_path": "out/rollback_plan_latest.json",
    }


def test_a_way_back_that_is_there_is_never_written_over(place: Path) -> None:
    verified("out", held={KEY: "2"})
    apply()
    before = (place / "out/rollback_plan_latest.json").read_bytes()
    verified("out", held={KEY: "3"})
    _, report = apply()
    assert (place / "out/rollback_plan_latest.json").read_bytes() == before
    assert report["rollback_plan_path"] == "out/rollback_plan_latest.json"
    verified("out", COLD)
    (place / "plan.json").write_bytes(document(COLD))
    _, report = apply()
    assert (place / "out/rollback_plan_latest.json").read_bytes() == before
    assert report["rollback_plan_path"] is None


def test_without_a_verification_of_the_plan_there_is_no_way_back(place: Path) -> None:
    verified("out", COLD)
    _, report = apply()
    assert report["rollback_plan_path"] is None
    assert not (place / "out/rollback_plan_latest.json").exists()


def test_a_rollback_is_refused_with_what_it_would_have_put_back(place: Path) -> None:
    verified("out", held={KEY: "2"})
    apply()
    code, report = attempt("--plan", "plan.json", command="rollback")
    assert code == 2
    assert (report["operation"], report["block_reasons"]) == ("rollback", ["pro_not_installed"])
    assert (report["verify_ok"], report["approval"]["required"]) == (None, False)
    assert report["plan_digest"] == HOT.digest
    assert [(each["status"], each["wanted"]) for each in report["items"]] == [("refused", {KEY: "2"})]
    assert check_all(place / "out") > 3


def test_a_rollback_of_another_plan_or_of_none_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = attempt(command="rollback")
    assert code == 2
    assert "rollback_plan_latest.json" in capsys.readouterr().err
    verified("out")
    apply()
    (place / "cold.json").write_bytes(document(COLD))
    capsys.readouterr()
    code, _ = attempt("--plan", "cold.json", command="rollback")
    assert code == 2
    assert "another plan" in capsys.readouterr().err


# With something installed that offers to apply plans


class Offer:
    """An entry point that loads to something, or breaks."""

    value = "somebody:else"

    def __init__(self, loaded: Any) -> None:
        self.loaded = loaded

    def load(self) -> Any:
        if isinstance(self.loaded, BaseException):
            raise self.loaded
        return self.loaded


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(*loaded: Any) -> None:
        monkeypatch.setattr(actuators, "entry_points", lambda **_: [Offer(each) for each in loaded])

    return install


class Door:
    """Answers what a test wants, and keeps the orders."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.orders: list[ApplyOrder] = []

    def apply(self, order: ApplyOrder) -> Any:
        self.orders.append(order)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    rollback = apply


def reported(**fields: Any) -> K8sApplyReport:
    """A report as a refusal of the public package has it, with other facts."""
    apply()
    plain = json.loads(Path("out/k8s_apply_latest.json").read_text())
    report = msgspec.convert(plain, K8sApplyReport)
    return msgspec.structs.replace(report, **fields)


NO_REASON = {"block_reason": None, "reason": None, "apply_blocked_reason": None, "block_reasons": ()}


def test_the_order_carries_what_was_given(place: Path, installed: Callable[..., None]) -> None:
    path = verified("v")
    door = Door(reported(apply_ok=True, apply_attempted=True, **NO_REASON))
    installed(door)
    code, report = apply(
        "--verify-report", str(path), "--license-path", "l.json", "--force", "--context", "staging",
        "--kill-switch-file", "stop", "--cluster-client", "kubectl", "--request-timeout", "3s",
    )  # fmt: skip
    assert (code, report["apply_ok"], report["block_reasons"]) == (0, True, [])
    (order,) = door.orders
    assert order.plan is not None
    assert order.verification is not None
    assert (order.plan.data, order.verification.data) == (document(HOT), path.read_bytes())
    assert (order.license_path, order.force_requested, order.kill_switch_file) == ("l.json", True, "stop")
    assert (order.cluster.client, order.cluster.context, order.cluster.request_timeout_s) == ("kubectl", "staging", 3.0)
    assert order.store.root == Path("out")
    assert order.clock.now() == parse_iso(NOW)


@pytest.mark.parametrize("kind", ["a class", "a function"])
def test_an_entry_point_may_make_the_door(kind: str, installed: Callable[..., None]) -> None:
    report = reported(apply_ok=True, apply_attempted=True, **NO_REASON)

    class Made(Door):
        def __init__(self) -> None:
            super().__init__(report)

    def make() -> Door:
        return Made()

    installed(Made if kind == "a class" else make)
    assert apply()[0] == 0


ENDS: dict[str, tuple[dict[str, Any], int, str]] = {
    "a verification that is missing": (
        {"block_reason": BlockReason.VERIFY_MISSING, "block_reasons": (BlockReason.VERIFY_MISSING,)}, 2, FIXED_LINE,
    ),
    "a verification that is old": (
        {"block_reason": BlockReason.VERIFY_EXPIRED, "block_reasons": (BlockReason.VERIFY_EXPIRED,)}, 2, FIXED_LINE,
    ),
    "no licence": (
        {
            "block_reason": BlockReason.LICENSE_MISSING,
            "block_reasons": (BlockReason.LICENSE_MISSING,),
            "detail": "none",
        },
        2,
        "ERROR: apply refused (license_missing): none. Nothing was changed.\n",
    ),
    "a write that failed": (
        {**NO_REASON, "apply_attempted": True, "detail": "the API server said no"},
        1,
        "ERROR: the apply was not finished: the API server said no. What was done is in out.\n",
    ),
    "a kill-switch in the middle": (
        {
            "block_reason": BlockReason.KILL_SWITCH_ACTIVE,
            "block_reasons": (BlockReason.KILL_SWITCH_ACTIVE,),
            "apply_attempted": True,
            "kill_switch_active": True,
            "kill_switch_signal": "configmap:train/modekeeper-kill-switch",
        },
        2,
        (
            "ERROR: apply stopped (kill_switch_active): configmap:train/modekeeper-kill-switch is on (like"
            " MODEKEEPER_KILL_SWITCH, it stops every change). What was done before is in out.\n"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDS)
def test_how_it_ends_is_an_exit_code_and_a_line(
    what: str, installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fields, code, line = ENDS[what]
    installed(Door(reported(**fields)))
    capsys.readouterr()
    assert apply()[0] == code
    assert capsys.readouterr().err == line


class Half:
    def apply(self) -> None: ...


UNUSABLE: dict[str, tuple[Any, ...]] = {
    "an import that fails": (ImportError("no module\nnamed x\x1b[31m"),),
    "an import that leaves": (SystemExit(3),),
    "half an actuator": (Half,),
    "a constructor that breaks": (lambda: 1 / 0,),
    "nothing at all": (None,),
    "two of them": (Door(None), Door(None)),
}


@pytest.mark.parametrize("command", ["apply", "rollback"])
@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_loaded_is_as_good_as_not_installed(
    what: str, command: str, installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    verified("out")
    apply()
    installed(*UNUSABLE[what])
    capsys.readouterr()
    code, report = attempt(*(["--plan", "plan.json"] if command == "apply" else []), command=command)
    assert (code, report["block_reason"], report["apply_attempted"]) == (2, "pro_not_installed", False)
    said = capsys.readouterr().err
    assert said.startswith(f"ERROR: {command} refused (pro_not_installed): ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert "\x1b" not in said


MISBEHAVING: dict[str, Any] = {
    "breaks": RuntimeError("boom\nboom"),
    "leaves": SystemExit(0),
    "fails with our own error": FailedError("the disk is full."),
    "reports nothing": None,
    "reports something else": {"apply_ok": True},
}


@pytest.mark.parametrize("what", MISBEHAVING)
def test_what_breaks_off_has_an_unknown_effect(
    what: str, installed: Callable[..., None], capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    installed(Door(MISBEHAVING[what]))
    code, report = apply()
    assert code == 2
    assert (report["apply_ok"], report["apply_attempted"]) == (False, True)
    assert report["block_reasons"] == ["effect_unknown"]
    assert [each["status"] for each in report["items"]] == ["failed"]
    said = capsys.readouterr().err
    assert said.startswith("ERROR: the apply was not finished: ")
    assert said.count("\n") == 1
    assert check_all(place / "out") > 3


def test_who_says_no_before_anything_is_begun_has_changed_nothing(
    installed: Callable[..., None], capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    installed(Door(BadInputError("the kubeconfig 'nowhere' is not there. Name one with --kubeconfig.")))
    code, report = apply()
    assert (code, report["apply_attempted"], report["apply_ok"]) == (2, False, False)
    assert "effect_unknown" not in report["block_reasons"]
    assert {each["status"] for each in report["items"]} <= {"refused"}
    assert capsys.readouterr().err == "ERROR: the kubeconfig 'nowhere' is not there. Name one with --kubeconfig.\n"


def test_who_says_no_after_something_was_begun_may_have_changed_it(
    installed: Callable[..., None], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Begins(Door):
        def apply(self, order: Any) -> Any:
            (order.store.root / "door" / "0001").mkdir(parents=True)
            return super().apply(order)

    installed(Begins(RefusedError("no further.")))
    code, report = apply()
    assert (code, report["apply_attempted"]) == (2, True)
    assert report["block_reasons"] == ["effect_unknown"]


@pytest.mark.parametrize("watched", [True, False])
def test_in_the_folder_of_a_watch_its_log_goes_on(watched: bool, place: Path) -> None:
    out = place / "out"
    out.mkdir()
    if watched:
        (out / "watch_state.json").write_text("{}")
    (out / "explain.jsonl").write_text('{"event":"session_started","payload":{},"ts":"2026-11-25T00:00:00.000Z"}\n')
    apply()
    events = [json.loads(line)["event"] for line in (out / "explain.jsonl").read_text().splitlines()]
    assert events[0] == ("session_started" if watched else "apply_started")
    assert events[-1] == "apply_finished"
    (out / "watch_state.json").unlink(missing_ok=True)


def test_a_report_that_contradicts_itself_is_not_believed(installed: Callable[..., None]) -> None:
    installed(Door(reported(apply_ok=True)))
    code, report = apply()
    assert (code, report["apply_ok"]) == (2, False)
    assert "effect_unknown" in report["block_reasons"]


def test_a_plan_that_is_none_reaches_no_door(place: Path, installed: Callable[..., None]) -> None:
    door = Door(None)
    installed(door)
    (place / "bad.json").write_text("{}")
    assert apply(plan="bad.json")[0] == 2
    assert door.orders == []
