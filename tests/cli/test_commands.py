"""The command line as a process: exit codes, one-line errors, examples that work."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.passports.documents import FULL
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.cli.commands import COMMANDS, HEADINGS, overview
from modekeeper.cli.tree import root

DATA = Path(__file__).parents[1] / "data" / "observe"


def mk(*words: str, cwd: Path, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MODEKEEPER", "KUBE", "_MK"))}
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", *words],
        cwd=cwd,
        env=clean | environment,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "drift.jsonl", tmp_path / "run.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "dirty.jsonl").write_text("not json\n\n[1]\n")
    (tmp_path / "short.jsonl").write_bytes(b"".join((DATA / "drift.jsonl").read_bytes().splitlines(keepends=True)[:40]))
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "a-file").write_text("")
    (tmp_path / "not-a-catalog.json").write_text("{")
    return tmp_path


BAD_INPUT = {
    "no such command": (["quikstart"], "Did you mean 'quickstart'?"),
    "no such subcommand": (["chords", "lst"], "Did you mean 'list'?"),
    "no such option": (["observe", "--pth", "x"], "--path"),
    "no such file": (["observe", "--path", "nope.jsonl"], "no such file"),
    "a folder as a file": (["observe", "--path", "a-folder"], "a-folder"),
    "a pattern that matches nothing": (["observe", "--path", "*.nope"], "no file matches"),
    "no telemetry": (["plan"], "--observe-path"),
    "telemetry twice": (["plan", "--observe-source", "synthetic", "--observe-path", "run.jsonl"], "contradict"),
    "a scenario and a path": (["plan", "--scenario", "drift", "--observe-path", "run.jsonl"], "--scenario"),
    "no such scenario": (["plan", "--scenario", "drft"], "drift"),
    "a duration that is none": (["observe", "--path", "run.jsonl", "--duration", "soon"], "5m"),
    "no such knob": (["plan", "--scenario", "drift", "--knob", "concurency=4"], "Did you mean 'concurrency'?"),
    "a knob without a value": (["plan", "--scenario", "drift", "--knob", "concurrency"], "NAME=VALUE"),
    "a knob that is not a number": (["plan", "--scenario", "drift", "--knob", "concurrency=many"], "NAME=VALUE"),
    "a knob that is not finite": (["plan", "--scenario", "drift", "--knob", "concurrency=nan"], "NAME=VALUE"),
    "no such policy": (["plan", "--scenario", "drift", "--policy", "luck"], "scalar"),
    "a namespace that cannot be": (["plan", "--scenario", "drift", "--k8s-namespace", "a b;c"], "namespace"),
    "an output folder that is a file": (["observe", "--path", "run.jsonl", "--out", "a-file"], "--out"),
    "no such chord": (["chords", "show", "DRIFT"], "Did you mean 'DRIFT-RETUNE'?"),
    "no such catalog": (["chords", "validate", "--catalog", "nope.json"], "no such file"),
    "a catalog that is none": (["chords", "validate", "--catalog", "not-a-catalog.json"], "not-a-catalog.json"),
    "nothing to plot": (["plot", "--in", "a-folder"], "a-folder"),
    "a negative price": (["eval", "file", "--path", "run.jsonl", "--gpu-hour-usd", "-1"], "gpu-hour-usd"),
    "a price that is not finite": (["eval", "file", "--path", "run.jsonl", "--gpus", "nan"], "gpus"),
    "an interval that is none": (["watch", "--scenario", "drift", "--interval", "-1s"], "5m"),
    "a duration for a watch": (
        ["watch", "--observe-path", "run.jsonl", "--observe-duration", "5m"],
        "--max-iterations",
    ),
    "a quickstart of nothing": (["quickstart", "--path", "nope.jsonl"], "no such file"),
    "a quickstart of a pipe": (["quickstart", "--path", "-"], "standard input only once"),
    "an apply": (["closed-loop", "run", "--scenario", "drift", "--apply"], "pro_not_installed"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(what: str, folder: Path) -> None:
    words, expected = BAD_INPUT[what]
    done = mk(*words, cwd=folder)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1
    assert expected in errors[0]
    assert "Traceback" not in done.stderr


def test_a_control_character_in_an_argument_does_not_reach_the_terminal(folder: Path) -> None:
    done = mk("observe", "--path", "evil\x1b[31m\n\u202ename", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr


@pytest.mark.parametrize("name", ["empty.jsonl", "dirty.jsonl", "short.jsonl"])
def test_too_little_telemetry_is_an_answer_not_an_error(name: str, folder: Path) -> None:
    done = mk("eval", "file", "--path", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "NO VERDICT" in done.stdout


def test_a_pipe_gets_plain_lines(folder: Path) -> None:
    done = mk("plan", "--observe-path", "run.jsonl", cwd=folder)
    assert done.returncode == 0
    assert "VERDICT  DRIFT since step" in done.stdout
    assert not re.search(r"[\x1b╭│╰]", done.stdout)


def test_standard_input_is_telemetry(folder: Path) -> None:
    done = mk("eval", "file", "--path", "-", "--json", cwd=folder, stdin=(folder / "run.jsonl").read_bytes())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sample_count"] == 360


@pytest.mark.parametrize(
    "words",
    [
        ["observe", "--path", "run.jsonl"],
        ["eval", "file", "--path", "run.jsonl"],
        ["plan", "--observe-path", "run.jsonl"],
        ["closed-loop", "run", "--observe-path", "run.jsonl"],
        ["watch", "--observe-path", "run.jsonl", "--max-iterations", "1"],
        ["chords", "list"],
        ["chords", "show", "DRIFT-RETUNE"],
        ["doctor"],
        ["demo", "modes"],
        ["quickstart"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_json_is_the_report_and_nothing_else(words: list[str], folder: Path) -> None:
    done = mk(*words, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("value", ["1", "true", "yes", "please"])
def test_the_kill_switch_comes_before_everything(value: str, folder: Path) -> None:
    done = mk("closed-loop", "run", "--scenario", "drift", "--apply", cwd=folder, MODEKEEPER_KILL_SWITCH=value)
    assert done.returncode == 2
    assert "MODEKEEPER_KILL_SWITCH" in done.stderr
    report = json.loads((folder / "report/closed-loop-run/closed_loop_latest.json").read_text())
    assert report["apply_blocked_reason"] == "kill_switch_active"
    assert report["kill_switch_active"] is True
    assert report["kill_switch_signal"] == "env:MODEKEEPER_KILL_SWITCH"
    assert report["block_reasons"] == ["kill_switch_active", "pro_not_installed", "verify_missing"]
    assert (report["apply_requested"], report["apply_attempted"], report["dry_run"]) == (True, False, False)


@pytest.mark.parametrize("name", ["MODEKEEPER_PAID", "MODEKEEPER_INTERNAL_OVERRIDE"])
def test_no_variable_opens_the_door(name: str, folder: Path) -> None:
    done = mk("closed-loop", "run", "--scenario", "drift", "--apply", cwd=folder, stdin=None, **{name: "1"})
    assert done.returncode == 2
    assert "pro_not_installed" in done.stderr


def test_an_untrusted_catalog_changes_nothing(folder: Path) -> None:
    plain = mk("plan", "--observe-path", "run.jsonl", "--json", cwd=folder)
    given = mk("plan", "--observe-path", "run.jsonl", "--catalog", "not-a-catalog.json", "--json", cwd=folder)
    assert given.returncode == 0
    assert "WARNING" in given.stderr
    assert json.loads(given.stdout)["k8s_plan_digest"] == json.loads(plain.stdout)["k8s_plan_digest"]
    bundle = json.loads((folder / "report/plan/policy_bundle_latest.json").read_text())
    assert bundle["policy"]["catalog_trusted"] is False


def test_a_recording_replays_to_the_same_trace(folder: Path) -> None:
    words = ["plan", "--observe-path", "run.jsonl", "--observe-record-raw", "raw.jsonl", "--out", "first"]
    assert mk(*words, cwd=folder).returncode == 0
    assert mk("plan", "--observe-path", "raw.jsonl", "--out", "second", cwd=folder).returncode == 0
    assert (folder / "raw.jsonl").read_bytes() == (folder / "run.jsonl").read_bytes()
    name = "decision_trace_latest.jsonl"
    assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes()
    report = json.loads((folder / "first/closed_loop_latest.json").read_text())
    assert report["observe_record_raw_path"] == "raw.jsonl"
    assert report["observe_record_raw_lines"] == 360


def test_an_empty_plan_is_a_script_that_does_nothing(folder: Path) -> None:
    assert mk("plan", "--observe-path", "short.jsonl", cwd=folder).returncode == 0
    script = folder / "report/plan/k8s_plan.kubectl.sh"
    assert "kubectl" not in script.read_text()
    assert subprocess.run(["/bin/bash", script], check=False, env={"PATH": "/nonexistent"}).returncode == 0


def test_quickstart_on_the_bundled_trace_tells_the_truth(folder: Path) -> None:
    done = mk("quickstart", "--out", "qs", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "qs/plan/closed_loop_latest.json").read_text())
    assert report["mode"] == "DRIFT"
    onsets = [f["signal"]["since_step"] for f in (*report["findings"]["ended"], *report["findings"]["standing"])
              if f["signal"]["kind"] == "drift"]  # fmt: skip
    assert len(onsets) == 2
    assert abs(onsets[0] - 708) <= 3
    assert abs(onsets[1] - 1415) <= 3
    assert report["proposed_actions_count"] == 0, "the cause is not in the telemetry"
    assert (folder / "qs/plan/decision_trace_latest.jsonl").stat().st_size > 0
    for name in ("report.html", "report.svg", "report.png"):
        assert (folder / "qs" / name).stat().st_size > 1000
    stages = {s["name"]: s["status"] for s in json.loads((folder / "qs/quickstart_latest.json").read_text())["stages"]}
    assert stages == {"doctor": "done", "observe": "done", "eval": "done", "plan": "done", "verify": "skipped",
                      "picture": "done"}  # fmt: skip


def test_the_demo_goes_through_every_mode_and_back(folder: Path) -> None:
    done = mk("demo", "modes", "--json", cwd=folder)
    spans = [span["mode"] for span in json.loads(done.stdout)["mode_spans"]]
    assert spans == ["NORMAL", "DRIFT", "RECOVER", "NORMAL", "BURST", "RECOVER", "NORMAL", "STRAGGLER", "RECOVER",
                     "NORMAL"]  # fmt: skip


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_demo_does_not_flap_whatever_the_seed(seed: str, folder: Path) -> None:
    done = mk("demo", "modes", "--seed", seed, "--json", cwd=folder)
    spans = [span["mode"] for span in json.loads(done.stdout)["mode_spans"]]
    assert spans[0] == spans[-1] == "NORMAL"
    assert {"DRIFT", "BURST", "STRAGGLER", "RECOVER"} <= set(spans)
    assert len(spans) <= 14


def test_help_lists_every_command_under_a_heading(folder: Path) -> None:
    done = mk("--help", cwd=folder)
    assert done.returncode == 0
    assert done.stdout == overview()
    for command in COMMANDS:
        assert f"  {' '.join(command.words)}  " in done.stdout
        assert command.heading in HEADINGS


def test_the_version_is_one_line(folder: Path) -> None:
    assert re.fullmatch(r"mk \d+\.\d+\.\d+\n", mk("--version", cwd=folder).stdout)


def _examples(words: tuple[str, ...]) -> list[str]:
    context = click.Context(root, info_name="mk")
    command: click.Command = root
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    return [line.strip() for line in (command.epilog or "").splitlines()[2:]]


@pytest.mark.parametrize("words", [command.words for command in COMMANDS], ids=" ".join)
def test_the_help_of_a_command_ends_with_examples(words: tuple[str, ...]) -> None:
    examples = _examples(words)
    assert examples
    assert all(" ".join(words) in example for example in examples)


def _asks_what_runs(example: str) -> bool:
    return "k8s" in example or "prometheus" in example or example.startswith("mk verify")


RUNNABLE = [
    (command.words, example)
    for command in COMMANDS
    for example in _examples(command.words)
    if not _asks_what_runs(example)  # those are tried on a real cluster, in tests/cluster
    and "--follow" not in example
    and "/var/log" not in example
    and ">" not in example
    and "zsh" not in example
]


@pytest.mark.parametrize(("words", "example"), RUNNABLE, ids=lambda value: value if isinstance(value, str) else "")
def test_examples_work_when_pasted(words: tuple[str, ...], example: str, folder: Path) -> None:
    (folder / "my-chords.json").write_text(json.dumps({"schema_version": "chord_catalog.v1", "chords": []}))
    (folder / "my-passport.json").write_text(json.dumps(FULL))
    if words == ("license", "verify"):
        keys = {"vendor-2026": b64(public_bytes("vendor-2026"))}
        (folder / "keys.json").write_bytes(dumped(keys))
        since, until = "2020-01-01T00:00:00Z", "9000-01-01T00:00:00Z"
        (folder / "modekeeper.license.json").write_bytes(licence(issued_at=since, expires_at=until))
    (folder / "logs").mkdir()
    subprocess.run(["gzip", "-k", "run.jsonl"], cwd=folder, check=True)
    shutil.copy(folder / "run.jsonl.gz", folder / "logs" / "run-1.jsonl.gz")
    if words == ("plot",):
        mk("plan", "--observe-path", "run.jsonl", cwd=folder)
        mk("watch", "--observe-path", "run.jsonl", "--max-iterations", "1", cwd=folder)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "mk").write_text(f'#!/bin/sh\nexec {sys.executable} -m modekeeper "$@"\n')
    (bin_folder / "mk").chmod(0o755)
    more = " --max-iterations 1" if words[-1] == "watch" and "--max-iterations" not in example else ""
    done = subprocess.run(
        ["bash", "-c", example + more],
        cwd=folder,
        env={
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str, folder: Path) -> None:
    done = mk("completion", shell, cwd=folder)
    assert done.returncode == 0
    assert "_MK_COMPLETE" in done.stdout


def test_completion_offers_commands(folder: Path) -> None:
    done = mk(cwd=folder, _MK_COMPLETE="bash_complete", COMP_WORDS="mk cl", COMP_CWORD="1")
    assert "closed-loop" in done.stdout
