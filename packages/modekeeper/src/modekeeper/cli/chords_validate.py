"""``mk chords validate``. Apart from ``list`` and ``show``, which are many times faster without what this needs."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import ChordProblem, ChordsValidateReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.console import print_json, say, warn
from modekeeper.cli.files import read_small_file
from modekeeper.cli.options import examples, json_option, out_option
from modekeeper.model.wording import count
from modekeeper.policy.catalog import catalog_digest, choose_catalog, load_default, validate_catalog
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["validate"]


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
        warn(f"ERROR: {catalog} is not a catalog to use as it is: {count(len(problems), 'problem')}, listed above.")
        return 2
    return 0
