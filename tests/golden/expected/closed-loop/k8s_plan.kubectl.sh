#!/usr/bin/env bash
# ModeKeeper plan sha256:10ac08dc99d7e37aa855ce98859292296dc9642e298e39f8722010e90571a755
# Items: 1. Running this script changes the cluster; look first with:
#   bash k8s_plan.kubectl.sh --dry-run=server
# Options are handed to every kubectl call, for example --context=NAME (with '=', or they are not understood).
# KUBECTL names another kubectl. While MODEKEEPER_KILL_SWITCH is set, nothing is done.
# shellcheck disable=SC2016  # a dollar sign between single quotes is meant as one
set -euo pipefail

KUBECTL="${KUBECTL:-kubectl}"

case "${MODEKEEPER_KILL_SWITCH:-}" in
  "" | 0 | [Ff][Aa][Ll][Ss][Ee] | [Nn][Oo] | [Oo][Ff][Ff]) ;;
  *)
    echo "ERROR: MODEKEEPER_KILL_SWITCH is set: nothing is changed" >&2
    exit 2
    ;;
esac

# Reading takes the same options, without those that only writing knows.
READ_OPTIONS=()
for option in "$@"; do
  case "$option" in
    --)
      echo "ERROR: only options are understood, with their values after '='" >&2
      exit 2
      ;;
    --dry-run | --dry-run=* | --field-manager=* | --output=* | -o=*) ;;
    -*) READ_OPTIONS+=("$option") ;;
    *)
      echo "ERROR: only options are understood, with their values after '='" >&2
      exit 2
      ;;
  esac
done

# One line an object says of itself: told_by NAMESPACE KIND/NAME TEMPLATE.
told_by() {
  "$KUBECTL" get ${READ_OPTIONS[@]+"${READ_OPTIONS[@]}"} --namespace="$1" --output="$3" -- "$2" </dev/null
}

# Names of the live pods that carry all these labels, one a line: live_pods NAMESPACE KIND/NAME LABELS.
live_pods() {
  local labels="${3%,}"
  case "$labels" in
    "" | *[!A-Za-z0-9._/=,-]*)
      printf 'ERROR: the pods of %q cannot be told by its labels alone: nothing is changed\n' "$2" >&2
      return 1
      ;;
  esac
  "$KUBECTL" get ${READ_OPTIONS[@]+"${READ_OPTIONS[@]}"} --namespace="$1" --selector="$labels" \
    --field-selector='status.phase!=Succeeded,status.phase!=Failed' \
    --output='go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}' -- pods </dev/null
}

# The same by the one label the controller of the object marks them with: marked_pods NAMESPACE KIND/NAME LABEL VALUE.
marked_pods() {
  case "$4" in
    "" | *[!A-Za-z0-9._-]* | [!A-Za-z0-9]* | *[!A-Za-z0-9])
      printf 'ERROR: the pods of %q cannot be told by the label of its controller: nothing is changed\n' "$2" >&2
      return 1
      ;;
  esac
  live_pods "$1" "$2" "$3=$4"
}

labels_1="$(told_by default Deployment/trainer 'go-template={{with .spec.selector}}{{if .matchExpressions}}!{{end}}{{range $key, $value := .matchLabels}}{{$key}}={{$value}},{{end}}{{end}}')"
pods_1="$(live_pods default Deployment/trainer "$labels_1")"

# Item 1: hot.
"$KUBECTL" patch "$@" --namespace=default --type=merge '--patch={"metadata":{"annotations":{"modekeeper/knob.dataloader_prefetch_factor":"3"}}}' -- Deployment/trainer </dev/null
while IFS= read -r pod; do
  if [ -n "$pod" ]; then
    "$KUBECTL" patch "$@" --namespace=default --type=merge '--patch={"metadata":{"annotations":{"modekeeper/knob.dataloader_prefetch_factor":"3"}}}' -- "pod/$pod" </dev/null
  fi
done <<<"$pods_1"
