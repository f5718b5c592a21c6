#!/usr/bin/env bash
# Writes the artifacts beside this script again: no cluster, no network, no accelerator.
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

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cp "$here/observe_mixed_env.jsonl" "$scratch"
cd "$scratch"

# The clock stands still, so that two runs write the same bytes.
export MODEKEEPER_PINNED_CLOCK=2026-01-31T09:00:00Z
unset MODEKEEPER_KILL_SWITCH

trace=observe_mixed_env.jsonl
"$mk" observe --path "$trace" --out observe >/dev/null
"$mk" eval file --path "$trace" --out eval >/dev/null
"$mk" closed-loop run --dry-run --observe-path "$trace" --out closed-loop >/dev/null
"$mk" closed-loop watch --dry-run --observe-path "$trace" --interval 30s --max-iterations 2 --out watch >/dev/null

# The newest reports and the summaries; copies with a time in their name, and what names this machine, stay behind.
for file in \
  observe/observe_latest.json \
  eval/eval_latest.json eval/eval_summary.md \
  closed-loop/closed_loop_latest.json closed-loop/summary.md closed-loop/decision_trace_latest.jsonl \
  closed-loop/k8s_plan.json closed-loop/k8s_plan.kubectl.sh closed-loop/explain.jsonl \
  watch/watch_latest.json watch/watch_summary.md watch/decision_trace_latest.jsonl; do
  mkdir -p "$target/$(dirname "$file")"
  cp "$file" "$target/$file"
  echo "$file"
done
