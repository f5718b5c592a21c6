"""``mk`` as a process against a real Prometheus: observed, planned, watched, recorded and replayed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.telemetry.prometheus.real_server import query
from tests.telemetry.prometheus.story import HONOURED, METRICS, Story

LATEST_S = 30.0
SAID_TWICE = ("environment", "findings", "observe_ingest", "telemetry")
"""Parts of a report that depend on nothing but what was read."""


class Mk:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, expect: int = 0) -> str:
        """What a command wrote to standard error, where it ends with ``expect``; its reports are in the folder."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), "HOME": str(self.folder)}
        command = [sys.executable, "-m", "modekeeper", *words]
        done = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == expect, done
        return done.stderr

    def report(self, path: str) -> dict[str, Any]:
        """A report that a command wrote."""
        found: dict[str, Any] = json.loads((self.folder / path).read_text())
        return found


@pytest.fixture
def mk(tmp_path: Path) -> Mk:
    return Mk(tmp_path)


def asked(story: Story, prefix: str = "", metrics: tuple[str, ...] = METRICS) -> tuple[str, ...]:
    """A sample a second of one of the jobs; once the server has some."""
    until = time.monotonic() + LATEST_S
    while not query(story.url, 'trainer_step_seconds{namespace="ml-honoured"} offset 5s'):
        assert time.monotonic() < until, "Prometheus scraped nothing"
        time.sleep(0.2)
    server = (f"--{prefix}prometheus-url", story.url, "--k8s-namespace", HONOURED, "--k8s-deployment", "trainer")
    timing = (f"--{prefix}prometheus-step", "1s", f"--{prefix}prometheus-settle", "2500ms")
    named = (word for metric in metrics for word in (f"--{prefix}prometheus-metric", metric))
    return (*server, *timing, *named)


def parts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in SAID_TWICE}


def test_what_was_observed_and_recorded_is_observed_again(story: Story, mk: Mk) -> None:
    mk("observe", *asked(story), "--duration", "4s", "--record-raw", "raw.jsonl", "--out", "live")
    mk("observe", "--path", "raw.jsonl", "--out", "replayed")
    live, replayed = mk.report("live/observe_latest.json"), mk.report("replayed/observe_latest.json")
    assert live["telemetry"]["sample_count"] >= 2
    assert live["observe_ingest"]["read_total"] > live["telemetry"]["sample_count"]
    assert live["source"]["kind"] == "prometheus"
    assert parts(replayed) == parts(live)
    explained = [(mk.folder / out / "explain.jsonl").read_text() for out in ("live", "replayed")]
    assert explained[0].count("\n") == explained[1].count("\n") > 0


def test_a_plan_is_made(story: Story, mk: Mk) -> None:
    mk("plan", *asked(story, "observe-"), "--observe-duration", "4s", "--out", "plan")
    report = mk.report("plan/closed_loop_latest.json")
    assert report["telemetry"]["sample_count"] >= 2
    assert (mk.folder / "plan" / "k8s_plan.json").exists()


def test_watch_goes_on_where_it_was_and_its_recording_holds_both(story: Story, mk: Mk) -> None:
    words = ("watch", *asked(story, "observe-"), "--interval", "1s", "--observe-record-raw", "raw.jsonl", "--out", "w")
    mk(*words, "--max-iterations", "3")
    first = mk.report("w/watch_latest.json")
    mk(*words, "--max-iterations", "3")
    second = mk.report("w/watch_latest.json")
    assert second["observe_ingest"]["read_total"] > first["observe_ingest"]["read_total"] > 0
    assert sorted(path.name for path in (mk.folder / "w").glob("iter_*")) == [f"iter_{n:04}" for n in range(1, 7)]
    mk("observe", "--path", "raw.jsonl", "--out", "replayed")
    assert mk.report("replayed/observe_latest.json")["observe_ingest"] == second["observe_ingest"]


def test_exact_pods_are_asked_for(story: Story, mk: Mk) -> None:
    mk("observe", *asked(story), "--no-prometheus-gpu", "--prometheus-pod", "trainer-1", "--duration", "4s")
    one = mk.report("report/observe/observe_latest.json")
    mk("observe", *asked(story), "--no-prometheus-gpu", "--duration", "4s", "--out", "both")
    both = mk.report("both/observe_latest.json")
    assert one["telemetry"]["workers_max"] == 1
    assert both["telemetry"]["workers_max"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--prometheus-metric", "loss=rate("), 2, "parse error: unclosed left parenthesis"),
        (("--prometheus-metric", "loss"), 2, "'loss' is no metric. Give FIELD=METRIC"),
        (("--prometheus-metric", "step_time_ms=trainer_step"), 2, "ERROR: "),
        (("--prometheus-settle", "2h"), 2, "the Prometheus settling time of 7200 s is out of range"),
        (("--prometheus-pod", "a pod"), 2, "ERROR: "),
        (("--prometheus-url", "http://127.0.0.1:1"), 1, "cannot reach Prometheus at http://127.0.0.1:1"),
        (("--prometheus-url", "ftp://prometheus"), 2, "'ftp://prometheus' is no address of a Prometheus server"),
        (("--prometheus-url", "http://user:secret@prometheus"), 2, "ERROR: "),
    ],
)
def test_what_is_wrong_is_one_line(story: Story, mk: Mk, words: tuple[str, ...], code: int, said: str) -> None:
    told = mk("observe", *asked(story, metrics=()), *words, "--out", "out", expect=code)
    assert said in told
    assert told.count("\n") == 1
    assert told.startswith("ERROR: ")
    assert "secret" not in told
    assert not list(mk.folder.rglob("observe_latest.json"))
