#!/usr/bin/env bash
# Writes the reports beside this script again, from what the cluster said then: no cluster, no network.
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
cp "$here/k8s_plan.json" "$here/preflight_cluster.jsonl" "$here/verify_cluster.jsonl" "$scratch"
cd "$scratch"

# The clock stands still, so that two runs write the same bytes.
export MODEKEEPER_PINNED_CLOCK=2026-01-31T09:00:00Z
unset MODEKEEPER_KILL_SWITCH

"$mk" k8s preflight --k8s-namespace research --k8s-deployment trainer \
  --replay-cluster preflight_cluster.jsonl --out preflight >/dev/null

# A plan that is not verified is exit code 2: that is the incident.
code=0
"$mk" k8s verify --plan k8s_plan.json --replay-cluster verify_cluster.jsonl --out verify >/dev/null 2>stderr.txt || code=$?
if [ "$code" -ne 2 ]; then
  cat stderr.txt >&2
  echo "ERROR: mk k8s verify returned $code, and not 2" >&2
  exit 1
fi

for file in \
  preflight/preflight_latest.json preflight/preflight_summary.md preflight/explain.jsonl \
  verify/k8s_verify_latest.json verify/k8s_verify_summary.md verify/explain.jsonl; do
  mkdir -p "$target/$(dirname "$file")"
  cp "$file" "$target/$file"
  echo "$file"
done
