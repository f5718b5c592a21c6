"""A plan as a shell script a person can read and run by hand.

Nothing in the script is believed to be harmless: every value is quoted as one word of the shell, options carry theirs
after ``=``, and names stand behind ``--``. It runs with the bash 3.2 that macOS has.
"""

import json
import re
from shlex import quote
from typing import Any

from modekeeper.model.decision import Actuation, Plan, PlanItem
from modekeeper.model.errors import BadInputError

__all__ = ["render"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_NOTHING = """\
#!/usr/bin/env bash
# ModeKeeper plan {digest}
# Items: 0. There is nothing to change: this script does nothing.
exit 0
"""

_HEADER = """\
#!/usr/bin/env bash
# ModeKeeper plan {digest}
# Items: {items}. Running this script changes the cluster; look first with:
#   bash k8s_plan.kubectl.sh --dry-run=server
# Options are handed to every kubectl call, for example --context=NAME (with '=', or they are not understood).
# KUBECTL names another kubectl. While MODEKEEPER_KILL_SWITCH is set, nothing is done.
set -euo pipefail

KUBECTL="${{KUBECTL:-kubectl}}"

case "${{MODEKEEPER_KILL_SWITCH:-}}" in
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
    --dry-run | --dry-run=* | --field-manager=* | --output=* | -o=*) ;;
    -*) READ_OPTIONS+=("$option") ;;
    *)
      echo "ERROR: only options are understood, with their values after '='" >&2
      exit 2
      ;;
  esac
done
"""

_LIVE_PODS = """\

# Names of the live pods of one object, one a line: LIVE_PODS NAMESPACE KIND/NAME.
live_pods() {
  local selector
  # shellcheck disable=SC2016  # the dollar signs belong to the template
  selector="$("$KUBECTL" get --namespace="$1" ${READ_OPTIONS[@]+"${READ_OPTIONS[@]}"} --output='go-template={{with .spec.selector}}{{if .matchExpressions}}!{{end}}{{range $key, $value := .matchLabels}}{{$key}}={{$value}},{{end}}{{end}}' -- "$2" </dev/null)"
  selector="${selector%,}"
  case "$selector" in
    "" | *[!A-Za-z0-9._/=,-]*)
      echo "ERROR: the pods of the object cannot be told by its labels alone: no pod is touched" >&2
      return 1
      ;;
  esac
  "$KUBECTL" get --namespace="$1" ${READ_OPTIONS[@]+"${READ_OPTIONS[@]}"} --selector="$selector" --field-selector='status.phase!=Succeeded,status.phase!=Failed' --output='go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\\n"}}{{end}}{{end}}' -- pods </dev/null
}
"""

_EACH_POD = """\
while IFS= read -r pod; do
  if [ -n "$pod" ]; then
    "$KUBECTL" patch {namespace} --type=merge {patch} "$@" -- "pod/$pod" </dev/null
  fi
done <<<"$pods"
"""


def render(plan: Plan) -> str:
    """The script ``k8s_plan.kubectl.sh``; of a plan without items, one that does nothing and names no tool.

    A hot item first finds the live pods of its object, and stops before any change where their selector is empty
    or not made of labels alone; then the object is patched, then each pod.

    Raises:
        BadInputError: a text of the plan holds a NUL or half of a surrogate pair, which no program can be given.
    """
    digest = plan.digest if _DIGEST.fullmatch(plan.digest) else "(digest not readable)"
    if not plan.items:
        return _NOTHING.format(digest=digest)
    parts = [_HEADER.format(digest=digest, items=len(plan.items))]
    if any(item.actuation is Actuation.HOT for item in plan.items):
        parts.append(_LIVE_PODS)
    parts.extend(_item(number, item) for number, item in enumerate(plan.items, start=1))
    return "".join(parts)


def _item(number: int, item: PlanItem) -> str:
    namespace, name = _word(f"--namespace={item.namespace}"), _word(f"{item.kind}/{item.name}")
    patch = _word(f"--patch={_json(item.patch)}")
    lines = [f"\n# Item {number}: {item.actuation.value}.\n"]
    write = f'"$KUBECTL" patch {namespace} --type=merge {patch} "$@" -- {name} </dev/null\n'
    if item.actuation is not Actuation.HOT or item.pod_patch is None:
        return "".join([*lines, write])
    lines.append(f'pods="$(live_pods {_word(item.namespace)} {name})"\n')
    lines.append(write)
    lines.append(_EACH_POD.format(namespace=namespace, patch=_word(f"--patch={_json(item.pod_patch)}")))
    return "".join(lines)


def _json(patch: dict[str, Any]) -> str:
    """ASCII alone: a script must not depend on the encoding of the machine it runs on."""
    return json.dumps(patch, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _word(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInputError(
            "the plan holds a text no program can be given (NUL or half a surrogate pair): refused"
        )
    return quote(text)
