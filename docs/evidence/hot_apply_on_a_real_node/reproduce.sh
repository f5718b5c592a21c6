#!/usr/bin/env bash
# Decides again on what was recorded, beside this script: no cluster, no network, no licence.
#   bash reproduce.sh            into the folder of this script
#   bash reproduce.sh FOLDER     into another folder, to compare
# MK names the command when it is not on the PATH, for example MK=../../../.venv/bin/mk.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
mk="${MK:-mk}"
case "$mk" in */*) mk="$(cd "$(dirname "$mk")" && pwd)/$(basename "$mk")" ;; esac
target="${1:-$here}"
mkdir -p "$target"
target="$(cd "$target" && pwd)"

# What was recorded is what the digests say.
if command -v sha256sum >/dev/null; then digest=(sha256sum); else digest=(shasum -a 256); fi
(cd "$here" && "${digest[@]}" --check SHA256SUMS >/dev/null) || {
  echo "ERROR: a recorded file was changed after it was recorded" >&2
  exit 1
}

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# The clock stands still, so that two runs write the same bytes.
export MODEKEEPER_PINNED_CLOCK=2026-01-31T09:00:00Z
unset MODEKEEPER_KILL_SWITCH

for case in helps harms; do
  # As many lines as had been read when the plan was applied, and the whole.
  lines="$(sed -n 's/.*"observe_record_raw_lines": \([0-9]*\),.*/\1/p' "$here/$case/applied/closed_loop_latest.json")"
  gzip -dc "$here/$case/raw.jsonl.gz" >whole.jsonl
  head -n "$lines" whole.jsonl >before.jsonl
  "$mk" plan --observe-path before.jsonl --k8s-namespace "train-$case" --k8s-deployment trainer --out "plan_$case" >/dev/null
  cmp "plan_$case/k8s_plan.json" "$here/$case/applied/k8s_plan.json" || {
    echo "ERROR: $case: the plan made of the recording is not the plan that was applied" >&2
    exit 1
  }
  "$mk" eval file --path whole.jsonl --out "eval_$case" >/dev/null
  mkdir -p "$target/$case/replay"
  cp "plan_$case/k8s_plan.json" "$target/$case/replay/k8s_plan.json"
  cp "eval_$case/eval_summary.md" "$target/$case/replay/eval_summary.md"
  echo "$case/replay/k8s_plan.json"
  echo "$case/replay/eval_summary.md"
done
