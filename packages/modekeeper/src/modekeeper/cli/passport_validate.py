"""``mk passport validate``."""

import os
from pathlib import Path

import click

from modekeeper.artifacts.contracts.reports import PassportProblem, PassportValidateReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.console import print_json, say, warn
from modekeeper.cli.options import examples, json_option, out_option
from modekeeper.cli.passport_choice import given_passport
from modekeeper.model.wording import count
from modekeeper.passports.passport import passport_ref
from modekeeper.passports.reading import check_passport
from modekeeper.reports.folder.publishing import publish_json, times

__all__ = ["validate"]


@click.command(epilog=examples("mk passport validate --passport my-passport.json"))
@click.option("--passport", required=True, metavar="FILE|NAME", help="The passport to check (passport.v0).")
@out_option("report/passport-validate")
@json_option
def validate(passport: str, out: str, as_json: bool) -> int:
    """Check a passport of your own. It may narrow what ModeKeeper allows, never widen it.

    Exit code 0 when it can be used, 2 otherwise; every problem is named.
    """
    clock = clock_from(os.environ)
    started = clock.now()
    data = given_passport(passport).data
    store = FolderStore(Path(out))
    check = check_passport(data)
    problems = tuple(PassportProblem(path=p.path, code=p.code, message=p.message) for p in check.problems)
    ref = passport_ref(check.passport) if check.passport is not None else None
    finished = clock.now()
    report = PassportValidateReport(
        **times(started, finished),
        ok=ref is not None,
        passport=passport,
        name=ref.name if ref is not None else None,
        passport_digest=ref.digest if ref is not None else None,
        problems=problems,
    )
    explain = ExplainLog(clock)
    explain.add("passport_checked", passport=passport, ok=report.ok, problems=len(problems))
    store.write_bytes("explain.jsonl", explain.data())
    publish_json(store, "passport_validate", report, finished)
    if as_json:
        print_json(report)
    else:
        for problem in problems:
            say(f"{problem.path}: {problem.message} [{problem.code}]")
        say(
            f"passport_ok={str(report.ok).lower()} name={report.name or 'none'} "
            f"digest={report.passport_digest or 'none'} problems={len(problems)} "
            f"report={Path(out).as_posix()}/passport_validate_latest.json"
        )
    if not report.ok:
        warn(f"ERROR: {passport} is not a passport to use: {count(len(problems), 'problem')}, listed above.")
        return 2
    return 0
