"""``mk passport templates``, ``show``."""

import click

from modekeeper.cli.console import print_json, say, table
from modekeeper.cli.options import examples, json_option
from modekeeper.cli.passport_choice import given_passport
from modekeeper.model.wording import count
from modekeeper.passports.passport import Passport, passport_ref
from modekeeper.passports.reading import parse_passport
from modekeeper.passports.templates import TEMPLATES, load_template
from modekeeper.policy.knobs import knob_named

__all__ = ["show", "templates"]

_HOUR_S = 3600


@click.command(epilog=examples("mk passport templates", "mk passport templates --json"))
@json_option
def templates(as_json: bool) -> int:
    """The passports that come with ModeKeeper, the strictest first."""
    passports = [load_template(name) for name in TEMPLATES]
    if as_json:
        print_json(passports)
        return 0
    rows = [(p.name, " ".join(p.actuations), p.approval.hot, p.approval.cold, p.title) for p in passports]
    table(("passport", "changes", "approval hot", "cold", "title"), rows)
    return 0


@click.command(epilog=examples("mk passport show pilot", "mk passport show my-passport.json --json"))
@click.argument("passport", metavar="FILE|NAME")
@json_option
def show(passport: str, as_json: bool) -> int:
    """One passport: what it is for, what may be changed, how far, how often, and who has to say yes.

    With --json it is printed as a file of your own begins: save it under another name, and narrow it.
    """
    found = parse_passport(given_passport(passport).data)
    if as_json:
        print_json(found)
        return 0
    say(f"{found.name}: {found.title}")
    for name, text in _lines(found):
        say(f"  {name:<12}{text}")
    return 0


def _lines(found: Passport) -> list[tuple[str, str]]:
    rules = found.approval
    lines = [
        ("digest", passport_ref(found).digest),
        ("for", _targets(found)),
        ("chords", ", ".join(found.chords) or "none: nothing is changed"),
        ("changes", ", ".join(found.actuations) or "none"),
        ("approval", f"hot {rules.hot}, cold {rules.cold}, advanced {rules.advanced}"),
        *(("approval", f"{chord_id} {level}") for chord_id, level in sorted(rules.chords.items())),
    ]
    if found.max_delta_per_step is not None:
        lines.append(("step", f"at most {found.max_delta_per_step:g} times the current value of a knob"))
    for name, limit in sorted(found.knobs.items()):
        unit = knob_named(name).unit
        words = [("from", limit.min), ("to", limit.max), ("in steps of at most", limit.max_step)]
        text = " ".join(f"{word} {value:g}" for word, value in words if value is not None)
        lines.append(("knob", f"{name} {text} {unit}"))
    lines += [
        ("metric", f"{guard.metric} no worse by more than {guard.not_worse_rel:.3g}") for guard in found.invariants
    ]
    if found.cooldown_s is not None:
        lines.append(("cooldown", f"{found.cooldown_s:g} s between two changes of the workload"))
    if found.budget is not None:
        most = count(found.budget.max_changes, "change")
        lines.append(("budget", f"{most} of the workload in {found.budget.window_s / _HOUR_S:g} h"))
    return lines


def _targets(found: Passport) -> str:
    wanted = found.targets
    if wanted is None:
        return "any workload"
    parts = (("namespace", wanted.namespaces), ("kind", wanted.kinds), ("name", wanted.names))
    return "; ".join(f"{word} {', '.join(words)}" for word, words in parts if words is not None) or "any workload"
