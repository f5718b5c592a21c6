"""Summaries: every fact of the report on a line of its own, and no text from outside is markup."""

import re

import msgspec
import pytest
from tests.reports import runs

from modekeeper.artifacts.contracts.reports import WatchArtifactPaths
from modekeeper.model.decision import Target
from modekeeper.modes.table import EDGES
from modekeeper.reports.markdown import closed_loop_summary, escaped, eval_summary, watch_summary
from modekeeper.reports.mode_diagram import edge_table, mermaid


def facts(summary: str) -> dict[str, str]:
    """The lines ``- name: value``."""
    return dict(re.findall(r"^- ([a-z0-9_]+): (.*)$", summary, re.MULTILINE))


def test_the_decision_and_its_apply_status_can_be_read_and_grepped() -> None:
    summary = closed_loop_summary(runs.closed_loop())
    assert summary.startswith("# trainer · 2,000 steps · 1 min 40 s\n\n**DRIFT since step 702")
    assert (
        facts(summary).items()
        >= {
            "mode": "DRIFT",
            "chord": "DRIFT-RETUNE",
            "blocked_reason": "cooldown_active",
            "changed_knobs": "dataloader_prefetch_factor",
            "dry_run": "true",
            "apply_requested": "false",
            "apply_attempted": "false",
            "apply_ok": "null",
            "apply_blocked_reason": "null",
            "verify_ok": "null",
            "kill_switch_active": "false",
            "target": "Deployment train/trainer",
            "opportunity_hours_est": "0.0351",
            "opportunity_hours_high": "null",
            "opportunity_usd_est": "null",
            "opportunity_tokens_est": "12500.0",
            "read_total": "2011",
            "dropped_total": "11",
            "dropped_by_reason": "duplicate 2, invalid_json 9",
            "k8s_plan_path": "report/plan/k8s_plan.json",
            "rollback_plan_path": "null",
        }.items()
    )
    assert "- gpus = 8.0 (assumed): 8 GPUs assumed" in summary
    assert "- gpu_hour_usd = null (given): no price was given" in summary
    assert "dataloader_num_workers 4 → 6 batches (hot, blocked, cooldown_active)" in summary


def test_a_refused_apply_says_why() -> None:
    report = runs.closed_loop(
        dry_run=False,
        apply_requested=True,
        apply_blocked_reason="license_missing",
        block_reasons=("license_missing", "verify_missing"),
        verify_ok=False,
    )
    assert (
        facts(closed_loop_summary(report)).items()
        >= {
            "dry_run": "false",
            "apply_requested": "true",
            "apply_attempted": "false",
            "apply_blocked_reason": "license_missing",
            "block_reasons": "license_missing, verify_missing",
            "verify_ok": "false",
        }.items()
    )


def test_the_evaluation_names_what_was_seen_and_what_was_not_judged() -> None:
    summary = eval_summary(runs.evaluated())
    assert (
        facts(summary).items()
        >= {
            "mode": "DRIFT",
            "drift": "true",
            "straggler": "false",
            "notes": "loss_missing",
            "sample_count": "2000",
            "nodes_seen": "node-a, node-b",
            "environment_unstable": "true",
            "read_total": "2011",
        }.items()
    )
    assert "## Not known" in summary


def test_a_watch_has_its_totals_and_its_pointers() -> None:
    summary = watch_summary(runs.watched())
    assert (
        facts(summary).items()
        >= {
            "dry_run": "true",
            "apply_requested": "false",
            "applied_total": "0",
            "blocked_total": "1",
            "iterations": "3",
            "dropped_total": "11",
            "watch_latest_path": "report/watch/watch_latest.json",
            "watch_summary_path": "report/watch/watch_summary.md",
            "last_iteration_report_path": "report/watch/iter_0003/closed_loop_latest.json",
            "last_iteration_explain_path": "null",
        }.items()
    )


def test_the_pointers_are_those_of_the_report_letter_by_letter() -> None:
    paths = WatchArtifactPaths(
        watch_latest_path="/srv/my_runs/a-b.c/__x__/watch_latest.json",
        watch_summary_path="C:/runs/_new/watch_summary.md",
        last_iteration_report_path=None,
        last_iteration_explain_path=None,
    )
    summary = watch_summary(runs.watched(artifact_paths=paths))
    assert "last_iteration_report_path: null\n" in summary
    assert "watch_summary_path: C:/runs/\\_new/watch_summary.md\n" in summary


ATTACKS = [
    "`code` ``x``",
    "a | b",
    "x\n# heading\n- item",
    "\r\n\r\n---\r\n",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "[text](javascript:alert(1))",
    "![picture](https://example.invalid/x.png)",
    "*bold* **bold** _em_ __em__ ~~gone~~",
    "$x^2$",
    "&lt;b&gt;",
    "\u202eevil",
    "@everyone",
    "www.example.invalid",
    "1. first",
    "- item",
    "=====",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_from_outside_is_markup(attack: str) -> None:
    for report, render in ((runs.closed_loop(), closed_loop_summary), (runs.evaluated(), eval_summary)):
        harmless: str = render(runs.with_every_text(report, lambda text: "x" + text))
        summary: str = render(runs.with_every_text(report, lambda text: attack + text))
        assert summary.count("\n") == harmless.count("\n")
        bare = re.sub(r"\\.", "", summary)
        assert not re.search(r"[`|\[\]~$<>@]", bare)
        assert "\u202e" not in summary
        assert bare.count("**") == 2


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b/c_d.json", "a_b/c_d.json"),
        ("__init__ _x", "\\_\\_init\\_\\_ \\_x"),
        ("2.1 GPU-minutes", "2.1 GPU-minutes"),
        ("-3 %", "-3 %"),
        ("- item", "\\- item"),
        ("1. first", "1\\. first"),
        ("# x", "\\# x"),
        ("---", "--\\-"),
        ("====", "===\\="),
        ("https://x www.x", "https\\://x www\\.x"),
        ("<a> & @b", "&lt;a&gt; &amp; &#64;b"),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_only_what_would_be_markup_is_escaped(text: str, written: str) -> None:
    assert escaped(text) == written


def test_summaries_end_with_one_newline_and_are_the_same_each_time() -> None:
    report, judged, session = runs.closed_loop(), runs.evaluated(), runs.watched()
    first = (closed_loop_summary(report), eval_summary(judged), watch_summary(session))
    assert first == (closed_loop_summary(report), eval_summary(judged), watch_summary(session))
    for summary in first:
        assert summary.endswith("\n")
        assert not summary.endswith("\n\n")


def test_a_namespace_with_markup_stays_on_its_line() -> None:
    report = runs.closed_loop(target=Target(namespace="a\n## b", kind="Deployment", name="c"))
    assert "target: Deployment a \\#\\# b/c" in closed_loop_summary(report)


def test_the_diagram_has_every_edge_of_the_machine_once() -> None:
    lines = mermaid(EDGES).splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> NORMAL"]
    drawn = [re.fullmatch(r"    ([A-Z]+) --> ([A-Z]+): [\w ]+", line) for line in lines[2:]]
    assert [(m[1], m[2]) for m in drawn if m] == [(edge.from_mode, edge.to_mode) for edge in EDGES]


def test_the_diagram_and_the_table_take_any_words() -> None:
    edge = msgspec.structs.replace(EDGES[0], meaning="a | b `c`\n<d>")
    rows = edge_table([edge]).splitlines()
    assert len(rows) == 3
    assert len(re.findall(r"(?<!\\)\|", rows[2])) == 7
    assert "a \\| b \\`c\\` &lt;d&gt;" in rows[2]


def test_the_table_has_every_edge_with_its_waiting_times() -> None:
    rows = edge_table(EDGES).splitlines()
    assert len(rows) == len(EDGES) + 2
    for row, edge in zip(rows[2:], EDGES, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:2] == [edge.from_mode, edge.to_mode]
        assert cells[2] == f"`{edge.guard}`"
        assert cells[3:5] == [str(edge.hold_samples), str(edge.dwell_samples)]
