"""Artifacts on disk against their published schemas."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = {
    "observe_latest.json": "observe.v0",
    "eval_latest.json": "eval.v0",
    "closed_loop_latest.json": "closed_loop.v0",
    "decision_trace_latest.jsonl": "decision_trace_event.v0",
    "explain.jsonl": "explain_event",
    "k8s_plan.json": "k8s_plan.v0",
    "policy_bundle_latest.json": "policy_bundle.v1",
    "rollback_plan_latest.json": "rollback_plan.v0",
    "watch_latest.json": "watch.v0",
    "watch_state.json": "watch_state.v0",
    "chords_validate_latest.json": "chords_validate.v0",
    "doctor_latest.json": "doctor.v0",
    "k8s_apply_latest.json": "k8s_apply.v0",
    "k8s_render_latest.json": "k8s_render.v0",
    "k8s_verify_latest.json": "k8s_verify.v0",
    "license_verify_latest.json": "license_verify.v0",
    "passport_validate_latest.json": "passport_validate.v0",
    "quickstart_latest.json": "quickstart.v0",
}
"""Name of an artifact to the name of its schema."""


@cache
def validator(artifact: str) -> Any:
    text = files("modekeeper.artifacts").joinpath("schemas", f"{SCHEMAS[artifact]}.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check_all(folder: Path) -> int:
    """Validate every artifact below ``folder``; how many documents that were."""
    seen = 0
    for path in sorted(folder.rglob("*")):
        if path.name not in SCHEMAS or not path.is_file():
            continue
        text = path.read_text()
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        for line in lines:
            validator(path.name).validate(json.loads(line))
            seen += 1
    return seen
