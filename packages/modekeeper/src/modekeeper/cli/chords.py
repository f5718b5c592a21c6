"""``mk chords list``, ``show``, ``validate``."""

import difflib
import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import ChordProblem, ChordsValidateReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.console import print_json, say, table, warn
from modekeeper.cli.files import read_small_file
from modekeeper.cli.options import examples, json_option, out_option
from modekeeper.model.errors import BadInputError
from modekeeper.policy.catalog import catalog_digest, choose_catalog, find_chord, load_default, validate_catalog
from modekeeper.policy.knobs import knob_named
from modekeeper.reports.publishing import publish_json, times

__all__ = ["list_chords", "show", "validate"]


@click.command(name="list", epilog=examples("mk chords list", "mk chords list --json"))
@json_option
def list_chords(as_json: bool) -> int:
    """The changes ModeKeeper knows how to propose."""
    catalog = load_default()
    if as_json:
        print_json(catalog)
        return 0
    rows = [(c.id, c.risk_tier, ", ".join(c.knobs_touched) or "-", c.intent) for c in catalog.chords]
    table(("chord", "tier", "knobs", "intent"), rows)
    return 0


@click.command(epilog=examples("mk chords show DRIFT-RETUNE", "mk chords show TIMEOUT-GUARD --json"))
@click.argument("chord_id", metavar="CHORD")
@json_option
def show(chord_id: str, as_json: bool) -> int:
    """One chord: when it acts, which knobs it touches and how far, what must stay true."""
    catalog = load_default()
    chord = find_chord(catalog, chord_id.upper())
    if chord is None:
        known = [c.id for c in catalog.chords]
        begun = [name for name in known if name.startswith(chord_id.upper())]
        close = begun or difflib.get_close_matches(chord_id.upper(), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(known)}."
        raise BadInputError(f"no such chord {chord_id!r}. {hint}")
    if as_json:
        print_json(chord)
        return 0
    say(f"{chord.id} ({chord.risk_tier})")
    say(f"  intent      {chord.intent}")
    say(f"  acts when   {', '.join(chord.required_signals) or 'always'}")
    say(f"  must stay   {', '.join(chord.invariants) or '-'}")
    if chord.cooldown_ms is not None:
        say(f"  cooldown    {chord.cooldown_ms / 1000:g} s")
    if chord.budget is not None:
        say(f"  budget      {chord.budget.max_changes} changes in {chord.budget.window_ms / 3_600_000:g} h")
    for name in chord.knobs_touched:
        knob = knob_named(name)
        say(
            f"  knob        {name}: {knob.lower:g} to {knob.upper:g} {knob.unit}, steps of {knob.step:g}, "
            f"{knob.actuation}{', all ranks together' if knob.ranks_must_agree else ''}; costs {knob.cost}"
        )
    return 0


@click.command(epilog=examples("mk chords validate --catalog my-chords.json"))
@click.option("--catalog", required=True, metavar="FILE", help="The catalog to check (chord_catalog.v1).")
@out_option("report/chords-validate")
@json_option
def validate(catalog: str, out: str, as_json: bool) -> int:
    """Check a chord catalog of your own. It may narrow the built-in one, never widen it.

    Exit code 0 when it is valid and narrows only, 2 otherwise; every problem is named.
    """
    clock = clock_from(os.environ)
    started = clock.now()
    data = read_small_file(catalog, "a chord catalog")
    store = FolderStore(Path(out))
    check = validate_catalog(data)
    choice = choose_catalog(load_default(), data)
    problems = tuple(ChordProblem(path=p.path, code=p.code, message=p.message) for p in choice.problems)
    finished = clock.now()
    report = ChordsValidateReport(
        **times(started, finished),
        ok=not problems,
        catalog=catalog,
        catalog_digest=None if check.catalog is None else catalog_digest(check.catalog),
        chords=() if check.catalog is None else tuple(chord.id for chord in check.catalog.chords),
        problems=problems,
    )
    explain = ExplainLog(clock)
    explain.add("catalog_checked", catalog=catalog, ok=report.ok, problems=len(problems))
    store.write_bytes("explain.jsonl", explain.data())
    publish_json(store, "chords_validate", report, finished)
    if as_json:
        print_json(report)
    else:
        for problem in problems:
            say(f"{problem.path}: {problem.message} [{problem.code}]")
        say(
            f"chords_ok={str(report.ok).lower()} chords={len(report.chords)} problems={len(problems)} "
            f"report={out}/chords_validate_latest.json"
        )
    if problems:
        warn(f"ERROR: {catalog} is not a catalog that can be used: {len(problems)} problems, listed above.")
        return 2
    return 0
