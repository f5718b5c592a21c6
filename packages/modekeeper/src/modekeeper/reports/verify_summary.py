"""A verification for people: the verdict first, then each namespace, then what to ask for."""

from collections.abc import Iterable, Iterator

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, K8sVerifyReport, VerifyItem
from modekeeper.model.untrusted import visible
from modekeeper.model.wording import count
from modekeeper.reports.markdown import escaped

__all__ = ["told", "verify_lines", "verify_summary"]

_MOST_ITEMS = 200
_MOST_LINES = 20
_MOST_HINTS = 20
_LONGEST_VALUE = 60


def told(kind: BlockerKind, detail: str) -> str:
    """A problem for a person, for whom ``unknown`` would say nothing."""
    return detail if kind is BlockerKind.UNKNOWN else f"{kind}: {detail}"


def verify_lines(report: K8sVerifyReport) -> list[str]:
    """What is printed: a line a change, those that are not verified first where there are many."""
    lines = [_verdict(report)]
    shown = report.items
    if len(shown) > _MOST_LINES:
        shown = tuple(sorted(shown, key=lambda item: (item.ok, item.index))[:_MOST_LINES])
    for namespace in report.namespaces:
        inside = [item for item in shown if item.namespace == namespace.name]
        if inside:
            lines.append(f"namespace {namespace.name}: {namespace.items_ok} of {len(namespace.items)} verified")
            lines += [f"  {line}" for item in inside for line in _item_lines(item)]
    lines.append(f"AUDIT  {_audit_line(report)}")
    left_out = len(report.items) - len(shown)
    if left_out > 0:
        lines.append(f"and {count(left_out, 'change')} more: {report.summary_path}")
    if report.role_yaml:
        lines.append(f"ASK FOR  {count(len(report.access_hints), 'rule')}, as a role to apply: role_yaml in the report")
    return lines


def verify_summary(report: K8sVerifyReport) -> str:
    """``k8s_verify_summary.md``."""
    blocks = ["# Verification of a plan", f"**{escaped(_verdict(report))}**", _facts(_about(report))]
    blocks.append("\n".join(_audit_markdown(report)))
    for namespace in report.namespaces:
        blocks.append(f"## Namespace {escaped(namespace.name)}")
        blocks.append(f"{namespace.items_ok} of {count(len(namespace.items), 'change')} verified.")
        inside = [item for item in report.items[:_MOST_ITEMS] if item.namespace == namespace.name]
        blocks += ["\n".join(_item_markdown(item)) for item in inside]
    left_out = len(report.items) - _MOST_ITEMS
    if left_out > 0:
        blocks.append(f"And {count(left_out, 'change')} more, in the report.")
    if report.role_yaml:
        blocks += [
            "## What to ask for",
            "\n".join(f"- {escaped(hint.message)}" for hint in report.access_hints[:_MOST_HINTS]),
        ]
        blocks += ["All of it as roles with their bindings, for `kubectl apply -f -`:", _fenced(report.role_yaml)]
    offers = [item.repository_patch for item in report.items[:_MOST_ITEMS] if item.repository_patch]
    if offers:
        blocks += ["## The same change for the repository", _fenced("---\n".join(offers))]
    return "\n\n".join(blocks) + "\n"


def _verdict(report: K8sVerifyReport) -> str:
    if report.ok and not report.items:
        return "VERIFIED  the plan is empty: there is nothing to change"
    if report.ok:
        return (
            f"VERIFIED  the cluster would accept {count(len(report.items), 'change')}, "
            f"good until {report.verification_expires_at}"
        )
    blocker = report.verify_blocker
    if blocker is None:
        return "NOT VERIFIED"
    more = sum(not item.ok for item in report.items) - 1
    rest = f" (and {count(more, 'more change')} not verified)" if more > 0 else ""
    return f"NOT VERIFIED  {told(blocker.kind, blocker.detail)}{rest}"


def _audit_line(report: K8sVerifyReport) -> str:
    """What is known of changes in our name; where nothing was looked at, that is what it says."""
    audit = report.audit
    if audit.receipts_path is None:
        return "not checked: name the folder of earlier applies with --receipts"
    found = f"{count(audit.incidents_total, 'change')} under our field manager without a receipt"
    looked = f"{count(audit.objects, 'object')}, {count(audit.receipts, 'receipt')}"
    missing = f", {len(audit.unread)} not looked at" if audit.unread else ""
    untold = f", {audit.untold} on which nobody is written down" if audit.untold else ""
    return f"{'checked' if audit.checked else 'NOT COMPLETE'}: {found} ({looked}{missing}{untold})"


def _audit_markdown(report: K8sVerifyReport) -> Iterator[str]:
    yield f"Audit after the fact, {escaped(_audit_line(report))}."
    audit = report.audit
    lines = [each.detail for each in audit.incidents] + list(audit.unread)
    if lines:
        yield ""
    yield from (f"- {escaped(line)}" for line in lines[:_MOST_ITEMS])


def _about(report: K8sVerifyReport) -> dict[str, str]:
    blocker, cluster = report.verify_blocker, report.cluster
    about = {
        "ok": str(report.ok).lower(),
        "verify_blocker": blocker.kind.value if blocker is not None else "null",
        "plan": report.plan_path,
        "plan_digest": report.plan_digest or "null",
        "verified_at": report.verified_at,
        "verification_expires_at": report.verification_expires_at,
        "verification_digest": report.verification_digest,
    }
    if cluster is not None:
        about |= {"server": cluster.server, "context": cluster.context or "null", "cluster_uid": cluster.uid or "null"}
    diagnostics = report.diagnostics
    about["server_version"] = diagnostics.server_version or "null"
    about["kubectl_version"] = diagnostics.kubectl_version or "null"
    return about


def _facts(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {escaped(value)}" for name, value in facts.items())


def _item_lines(item: VerifyItem) -> Iterator[str]:
    yield f"{'ok' if item.ok else 'NO':<3}{_title(item)}: {item.effect.effect}, {item.effect.detail}"
    yield f"     {_changes(item)}"
    yield from (f"     {told(p.kind, p.detail)}" for p in item.problems if p.detail != item.effect.detail)
    yield from (f"     note: {note}" for note in item.notes)


def _item_markdown(item: VerifyItem) -> Iterator[str]:
    effect = item.effect
    yield f"### {escaped(_title(item))}"
    yield ""
    yield f"- {'verified' if item.ok else 'not verified'}"
    yield f"- effect: {effect.effect} ({effect.reason}): {escaped(effect.detail)}"
    yield f"- {escaped(_changes(item))}"
    yield f"- exists: {_word(item.exists)}, may get: {_word(item.can_get)}, may patch: {_word(item.can_patch)}"
    yield f"- dry run: {item.dry_run.status}"
    yield from (f"- problem, {p.kind} ({p.code}): {escaped(p.detail)}" for p in item.problems)
    yield from (f"- note: {escaped(note)}" for note in item.notes)


def _title(item: VerifyItem) -> str:
    return f"{item.actuation} {item.kind} {item.name}"


def _changes(item: VerifyItem) -> str:
    return _listed(f"{key.rpartition('knob.')[2]} {_now(item, key)} → {new}" for key, new in item.new_values.items())


def _now(item: VerifyItem, key: str) -> str:
    """The value a change starts from; for hot changes the record on the object too, where that says something else."""
    pods = item.pods
    if key in item.live_values:
        now = _value(item.live_values[key]) or "(not set)"
    elif pods is None or pods.total == 0:
        now = "(not known)" if pods is None else "(no live pods)"
    else:
        now = "(pods differ)"
    recorded = item.recorded_values
    if key not in recorded or (key in item.live_values and item.live_values[key] == recorded[key]):
        return now
    return f"{now} (on the object: {_value(recorded[key]) or 'not set'})"


def _value(value: str | None) -> str:
    """Empty where there is none; a value without a character is quoted."""
    return "" if value is None else visible(value, _LONGEST_VALUE) or "''"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _word(answer: bool | None) -> str:
    return "not known" if answer is None else "yes" if answer else "no"


def _fenced(text: str) -> str:
    return f"```yaml\n{text}```"
