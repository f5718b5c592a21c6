"""``mk closed-loop run --apply`` and ``watch --apply`` where the licensed package is installed: the same door."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_commands import mk
from tests.watch.acting import World, make_world

from modekeeper.cli import hands
from modekeeper.cli.main import main
from modekeeper.model.cluster import ClusterConfigError
from modekeeper_pro.actuator import DoorActuator

__all__ = ["make_world"]

TARGET = ("--k8s-namespace", "train", "--k8s-deployment", "trainer")
RUN = ("closed-loop", "run", "--apply", "--observe-path", "run.jsonl", "--out", "out", *TARGET)
WATCH = ("watch", "--apply", "--observe-path", "run.jsonl", "--out", "out", "--max-iterations", "2", *TARGET)


def slow(_value: float) -> float:
    return 60.0


@pytest.fixture
def installed(
    make_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], World]:
    """The licensed package is there, and leads to a cluster in memory; the job has run for so many samples."""

    def make(samples: int) -> World:
        world = make_world(slow)
        world.job.run(samples)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(hands, "find_actuator", DoorActuator)
        monkeypatch.setattr(hands, "opened_cluster", lambda *_given: nullcontext(world.cluster))
        for name in ("MODEKEEPER_PINNED_CLOCK", "MODEKEEPER_KILL_SWITCH"):
            monkeypatch.delenv(name, raising=False)
        return world

    return make


def report(name: str = "closed_loop", folder: str = "out") -> Any:
    return json.loads(Path(folder, f"{name}_latest.json").read_text())


def test_the_plan_is_verified_and_applied_and_all_of_it_is_in_one_folder(
    installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    assert main([*RUN]) == 0
    assert set(world.values().values()) == {"3"}
    closed, apply = report(), report("k8s_apply")
    assert (closed["apply_requested"], closed["apply_attempted"], closed["apply_ok"]) == (True, True, True)
    assert (closed["verify_ok"], closed["apply_blocked_reason"], closed["block_reasons"]) == (True, None, [])
    assert apply["plan_digest"] == closed["k8s_plan_digest"]
    assert apply["verify_report_path"] == "out/k8s_verify_latest.json"
    assert apply["policy_bundle_path"] == closed["policy_bundle_path"]
    assert len(list(Path("out/door").glob("*/receipts/*.json"))) == 3
    # What the door found in the cluster; what the job said when the plan was made is there under its time.
    key, names = "modekeeper/knob.dataloader_prefetch_factor", sorted(Path("out").glob("rollback_plan_2*.json"))
    found = [json.loads(name.read_text())["items"][0]["keys"][key] for name in names]
    assert report("rollback_plan")["items"][0]["keys"][key] == {"source": "cluster", "value": None}
    assert {"source": "telemetry", "value": "2"} in found
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("apply_ok=true block_reason=none items=1 items_done=1")


def test_what_was_applied_can_be_taken_back_with_the_files_it_left(
    installed: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = installed(400)
    assert main([*RUN]) == 0
    monkeypatch.setattr("modekeeper.cli.k8s_rollback.find_actuator", DoorActuator)
    assert main(["k8s", "rollback", "--out", "out"]) == 0
    assert world.ours() == world.original


def test_an_empty_plan_is_nothing_to_apply(installed: Callable[[int], World]) -> None:
    world = installed(150)
    assert main([*RUN]) == 0
    closed = report()
    assert (closed["apply_requested"], closed["apply_attempted"], closed["apply_ok"]) == (True, False, None)
    assert not Path("out/k8s_apply_latest.json").exists()
    assert not world.orders


def test_a_kill_switch_refuses_and_no_cluster_is_asked(
    installed: Callable[[int], World], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    monkeypatch.setenv("MODEKEEPER_KILL_SWITCH", "1")
    before = len(world.cluster.asked)
    assert main([*RUN]) == 2
    assert len(world.cluster.asked) == before
    assert report("k8s_apply")["block_reasons"][0] == report()["apply_blocked_reason"] == "kill_switch_active"
    assert "MODEKEEPER_KILL_SWITCH" in capsys.readouterr().err
    assert world.ours() == world.original


def test_a_licence_that_expired_refuses(installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]) -> None:
    world = installed(400)
    world.licence.expire()
    assert main([*RUN]) == 2
    assert report()["block_reasons"] == ["license_expired"]
    assert report()["verify_ok"] is True
    assert capsys.readouterr().err.startswith("ERROR: apply refused (license_expired)")


def test_a_verification_that_fails_refuses_with_the_line_of_the_specification(
    installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    world.cluster.fail("dry_run", world.cluster.failure(500), times=None)
    assert main([*RUN]) == 2
    assert report()["apply_blocked_reason"] == "verify_failed"
    assert report("k8s_verify")["ok"] is False
    assert capsys.readouterr().err == "ERROR: verify_ok=true is required for apply/mutate operations\n"


def test_no_way_to_a_cluster_is_a_verification_that_failed(
    installed: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(400)

    def nowhere(*_given: object) -> Any:
        raise ClusterConfigError("there is no kubeconfig")

    monkeypatch.setattr(hands, "opened_cluster", nowhere)
    assert main([*RUN]) == 2
    assert report("k8s_verify")["verify_blocker"]["kind"] == "client_unavailable"
    assert report()["block_reasons"][0] == "verify_failed"


def test_a_pinned_clock_applies_nothing(
    installed: Callable[[int], World], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    monkeypatch.setenv("MODEKEEPER_PINNED_CLOCK", "2026-01-01T00:00:00Z")
    assert main([*RUN]) == 2
    assert "MODEKEEPER_PINNED_CLOCK" in capsys.readouterr().err
    assert world.ours() == world.original


def test_a_package_that_cannot_be_loaded_is_as_good_as_none(
    installed: Callable[[int], World], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(400)
    monkeypatch.setattr(hands, "find_actuator", lambda: "the installed package that applies plans cannot be loaded: X")
    for words in (RUN, WATCH):
        assert main([*words]) == 2
        said = capsys.readouterr().err
        assert said.startswith("ERROR: apply refused (pro_not_installed): the installed package that applies plans")
    assert report("watch")["iterations"] == 1
    assert report()["block_reasons"] == ["pro_not_installed", "verify_missing"]


def test_a_watch_applies_says_so_and_ends_well(
    installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    assert main([*WATCH, "--interval", "10ms"]) == 0
    assert set(world.values().values()) == {"3"}
    whole = report("watch")
    assert (whole["applied_total"], whole["stop_reason"]) == (1, "max_iterations")
    assert whole["apply"]["measuring"]["state"] == "pending"
    assert "1 applied, 0 taken back; effect pending" in capsys.readouterr().out
    assert "its effect is being measured" in Path("out/watch_summary.md").read_text()


def test_a_watch_whose_licence_allows_nothing_ends_as_a_refusal(
    installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = installed(400)
    world.licence.expire()
    assert main([*WATCH, "--interval", "10ms"]) == 2
    assert "apply refused (license_expired)" in capsys.readouterr().err
    assert (report("watch")["stop_reason"], report("watch")["iterations"]) == ("blocked", 1)


def test_a_change_is_neither_recorded_nor_replayed(
    installed: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    installed(400)
    assert main([*RUN, "--replay-cluster", "cluster.jsonl"]) == 2
    assert "neither recorded nor replayed" in capsys.readouterr().err


@pytest.mark.parametrize("words", [RUN, WATCH], ids=["run", "watch"])
def test_without_the_package_nothing_is_different_from_before(words: tuple[str, ...], tmp_path: Path) -> None:
    world = World(tmp_path, slow)
    world.job.run(400)
    done = mk(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "ERROR: apply refused (pro_not_installed): the licensed package modekeeper-pro is not installed. "
        "Nothing was changed; the plan is written.\n"
    )
    assert not list(tmp_path.rglob("k8s_apply_latest.json"))
