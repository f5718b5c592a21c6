"""``mk chords list``, ``show``."""

import difflib

import click

from modekeeper.cli.chord_table import print_chords
from modekeeper.cli.console import print_json, say
from modekeeper.cli.options import examples, json_option
from modekeeper.model.errors import BadInputError
from modekeeper.policy.catalog import find_chord, load_default
from modekeeper.policy.knobs import knob_named

__all__ = ["list_chords", "show"]


@click.command(name="list", epilog=examples("mk chords list", "mk chords list --json"))
@json_option
def list_chords(as_json: bool) -> int:
    """The changes ModeKeeper knows how to propose."""
    if as_json:
        print_json(load_default())
        return 0
    return print_chords()


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
