"""A plan as a shell script a person can read and run by hand.

Nothing in the script is believed to be harmless: every value is quoted as one word of the shell, options carry
theirs after ``=``, and names stand behind ``--``. It runs with the bash 3.2 that macOS has.
"""

import json
import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

from modekeeper.model.decision import Actuation, Plan, PlanItem
from modekeeper.model.errors import BadInputError
from modekeeper.model.pod_selector import POD_MARKS
from modekeeper.model.workload import find_workload_kind

__all__ = ["render"]

_BUILT_IN_GROUPS = frozenset({"apps", "batch"})
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
# shellcheck disable=SC2016  # a dollar sign between single quotes is meant as one
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
"""

_SELECTOR = (
    "go-template={{with .spec.selector}}{{if .matchExpressions}}!{{end}}"
    "{{range $key, $value := .matchLabels}}{{$key}}={{$value}},{{end}}{{end}}"
)
"""Labels as ``key=value,``; an exclamation mark where labels alone do not say which pods are meant."""
_POD_NAMES = (
    'go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\\n"}}{{end}}{{end}}'
)
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

_READ = '"$KUBECTL" get ${READ_OPTIONS[@]+"${READ_OPTIONS[@]}"} --namespace="$1"'
_NOT_TOLD = "printf 'ERROR: the pods of %q cannot be told by {what}: nothing is changed\\n' \"$2\" >&2"

_LIVE_PODS = f"""
# One line an object says of itself: told_by NAMESPACE KIND/NAME TEMPLATE.
told_by() {{
  {_READ} --output="$3" -- "$2" </dev/null
}}

# Names of the live pods that carry all these labels, one a line: live_pods NAMESPACE KIND/NAME LABELS.
live_pods() {{
  local labels="${{3%,}}"
  case "$labels" in
    "" | *[!A-Za-z0-9._/=,-]*)
      {_NOT_TOLD.format(what="its labels alone")}
      return 1
      ;;
  esac
  {_READ} --selector="$labels" \\
    --field-selector={quote(_UNFINISHED)} \\
    --output={quote(_POD_NAMES)} -- pods </dev/null
}}

# The same by the one label the controller of the object marks them with: marked_pods NAMESPACE KIND/NAME LABEL VALUE.
marked_pods() {{
  case "$4" in
    "" | *[!A-Za-z0-9._-]* | [!A-Za-z0-9]* | *[!A-Za-z0-9])
      {_NOT_TOLD.format(what="the label of its controller")}
      return 1
      ;;
  esac
  live_pods "$1" "$2" "$3=$4"
}}

"""

_EACH_POD = """\
while IFS= read -r pod; do
  if [ -n "$pod" ]; then
    "$KUBECTL" patch "$@" {namespace} --type=merge {patch} -- "pod/$pod" </dev/null
  fi
done <<<"$pods_{number}"
"""


def render(plan: Plan) -> str:
    """The script ``k8s_plan.kubectl.sh``; of a plan without items, one that does nothing and names no tool.

    The live pods of all hot items are found first: by the label their controller marks them with (``POD_MARKS``), else
    by the selector of the object. Where that is empty or not made of labels alone, the script stops before any change.
    Then each object is patched, and after it its pods.

    Raises:
        BadInputError: a text of the plan holds a NUL or half of a surrogate pair, which no program can be given.
    """
    digest = plan.digest if _DIGEST.fullmatch(plan.digest) else "(digest not readable)"
    if not plan.items:
        return _NOTHING.format(digest=digest)
    numbered = list(enumerate(plan.items, start=1))
    hot = [(number, item) for number, item in numbered if _touches_pods(item)]
    parts = [_HEADER.format(digest=digest, items=len(numbered))]
    if hot:
        parts.append(_LIVE_PODS)
        parts.extend(_find_pods(number, item) for number, item in hot)
    parts.extend(_item(number, item) for number, item in numbered)
    return "".join(parts)


def _find_pods(number: int, item: PlanItem) -> str:
    """Lines that set ``pods_N``; a line that fails ends the script."""
    place = f"{_word(item.namespace)} {_name(item)}"
    known = find_workload_kind(item.kind)
    mark = POD_MARKS.get(known.kind) if known is not None else None
    if mark is None:
        labels = f'labels_{number}="$(told_by {place} {_word(_SELECTOR)})"\n'
        return f'{labels}pods_{number}="$(live_pods {place} "$labels_{number}")"\n'
    if mark.path == ("metadata", "name"):
        return f'pods_{number}="$(marked_pods {place} {_word(mark.label)} {_word(item.name)})"\n'
    value = f'mark_{number}="$(told_by {place} {_word(_value_at(mark.path))})"\n'
    return f'{value}pods_{number}="$(marked_pods {place} {_word(mark.label)} "$mark_{number}")"\n'


def _value_at(path: tuple[str, ...]) -> str:
    """A template that prints the text at ``path``, and nothing where the way there ends."""
    return "go-template=" + "".join(f"{{{{with .{step}}}}}" for step in path) + "{{.}}" + "{{end}}" * len(path)


def _item(number: int, item: PlanItem) -> str:
    namespace = _word(f"--namespace={item.namespace}")
    patch = _word(f"--patch={_json(item.patch)}")
    text = f"\n# Item {number}: {item.actuation.value}.\n"
    text += f'"$KUBECTL" patch "$@" {namespace} --type=merge {patch} -- {_name(item)} </dev/null\n'
    if _touches_pods(item):
        pod_patch = _word(f"--patch={_json(item.pod_patch)}")
        text += _EACH_POD.format(namespace=namespace, patch=pod_patch, number=number)
    return text


def _touches_pods(item: PlanItem) -> bool:
    return item.actuation is Actuation.HOT and item.pod_patch is not None


def _name(item: PlanItem) -> str:
    """``Deployment/NAME``; outside the built-in groups ``jobs.batch.volcano.sh/NAME``: a kind alone may be several."""
    known = find_workload_kind(item.kind)
    if known is None or known.group in _BUILT_IN_GROUPS:
        return _word(f"{item.kind}/{item.name}")
    return _word(f"{known.plural}.{known.group}/{item.name}")


def _json(patch: dict[str, Any] | None) -> str:
    """ASCII alone: a script must not depend on the encoding of the machine it runs on."""
    for text in _texts(patch):
        _sendable(text)
    try:
        return json.dumps(patch, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"a patch of the plan is no JSON ({error}): make the plan again") from None


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)


def _word(text: str) -> str:
    return quote(_sendable(text))


def _sendable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInputError("the plan holds a text no program can be given (NUL or half a surrogate pair): refused")
    return text
