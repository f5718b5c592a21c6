"""``mk-approve``: the command line. Parses, calls one function, prints its lines, returns a code."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from modekeeper.cli.clocks import SystemClock
from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.model.untrusted import visible, visible_ends
from modekeeper.ports.clock import Clock
from modekeeper.trust.approval import LONGEST_APPROVAL_DAYS
from modekeeper.trust.finding import APPROVERS_PATH_VARIABLE
from modekeeper.trust.passphrase import Passphrase, find_passphrase
from modekeeper_pro.approving import work

__all__ = ["PASSPHRASE_VARIABLE", "main"]

PASSPHRASE_VARIABLE = "MODEKEEPER_APPROVAL_PASSPHRASE"  # noqa: S105 - its name
_LONGEST_HOURS = LONGEST_APPROVAL_DAYS * 24

_PASSPHRASE = click.option(
    "--passphrase-file",
    type=Path,
    metavar="FILE",
    help=f"A file only you can read. Else {PASSPHRASE_VARIABLE}, else you are asked; never on the command line.",
)
_KEY = click.option("--key", type=Path, required=True, metavar="FILE", help="The file of your private key.")
_KID = click.option("--kid", required=True, metavar="NAME", help="The name your key has in the approvers' keyring.")
_APPROVERS = click.option(
    "--approvers",
    metavar="FILE",
    help=f"The approvers' keyring, to be sure that your approval will count; else {APPROVERS_PATH_VARIABLE}.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Read a plan and sign it, as the second person. No cluster is asked, nothing is changed."""


@root.command()
@_KEY
@_KID
@click.option("--public", type=Path, metavar="FILE", help="Write the public half here, as a keyring of one.")
@_PASSPHRASE
def keygen(key: Path, kid: str, public: Path | None, passphrase_file: Path | None) -> None:
    """Make your key, and say its public half, which goes into the approvers' keyring.

    The private key is written encrypted, for you alone, over no other file; it is never shown.
    """
    _say(work.make_key(key, kid, _secret(passphrase_file, new=True), public))


@root.command()
@_KEY
@_KID
@click.option("--out", type=Path, metavar="FILE", help="Write it here, as a keyring of one.")
@_PASSPHRASE
def public(key: Path, kid: str, out: Path | None, passphrase_file: Path | None) -> None:
    """Say the public half of your key again."""
    _say(work.public_half(key, kid, _secret(passphrase_file), out))


@root.command()
@click.option("--plan", required=True, metavar="FILE", help="The plan (k8s_plan.json).")
@click.option("--verify-report", metavar="FILE", help="Its verification; binds the approval to that cluster.")
@click.option("--cluster-uid", metavar="UID", help="Bind it to this cluster: the uid of the namespace kube-system.")
@_KEY
@_KID
@click.option("--approver", required=True, metavar="NAME", help="Your name, as reports will show it.")
@click.option("--reason", metavar="TEXT", help="Why, on one line.")
@click.option(
    "--hours",
    type=click.IntRange(1, _LONGEST_HOURS),
    default=24,
    show_default=True,
    help="How long it is good, from now.",
)
@_APPROVERS
@click.option("--yes", is_flag=True, help="Sign without being asked, for scripts.")
@click.option("--out", type=Path, required=True, metavar="FILE", help="The file of the approval.")
@_PASSPHRASE
@click.pass_obj
def sign(clock: Clock, /, plan: str, verify_report: str | None, yes: bool, out: Path, **said: Any) -> None:
    """Show a plan, and sign that you approve of it."""
    found = work.plan_to_approve(plan, verify_report, clock.now())
    _say(work.summary(found))
    cluster_uid = said["cluster_uid"] if said["cluster_uid"] is not None else found.cluster_uid
    if said["cluster_uid"] is not None and found.cluster_uid not in (None, cluster_uid):
        raise BadInputError("--cluster-uid and the verification name different clusters: give one of them")
    bound = f"for the cluster {cluster_uid} alone" if cluster_uid is not None else "for whichever cluster it is used on"
    _say([f"an approval of this plan, by {said['approver']}, {bound}, for {said['hours']} hours"])
    if not yes:
        _agreed()
    terms = work.terms(
        found.plan,
        cluster_uid=cluster_uid,
        approver=said["approver"],
        kid=said["kid"],
        reason=said["reason"],
        now=clock.now(),
        hours=said["hours"],
    )
    approvers = work.known_approvers(said["approvers"], os.environ)
    _say(work.sign(terms, said["key"], _secret(said["passphrase_file"]), approvers, out))


@root.command()
@click.argument("file")
@click.option("--plan", metavar="FILE", help="Say whether it is of this plan.")
@click.option("--cluster-uid", metavar="UID", help="Say whether it is good on this cluster.")
@_APPROVERS
@click.pass_obj
def inspect(clock: Clock, /, file: str, plan: str | None, cluster_uid: str | None, approvers: str | None) -> int:
    """Say what an approval holds; with --plan and the approvers' keyring, whether it is good: exit code 0 or 2."""
    known = work.known_approvers(approvers, os.environ)
    lines, good = work.inspect(file, plan, cluster_uid, known, clock.now())
    _say(lines)
    return 0 if good else 2


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 tried and failed, 2 refused or bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = root.main(args=words, prog_name="mk-approve", standalone_mode=False, obj=clock or SystemClock())
    except click.exceptions.NoArgsIsHelpError as asked:
        sys.stdout.write(f"{asked.ctx.get_help() if asked.ctx else ''}\n")
        return 2
    except click.ClickException as error:
        return _failed(f"{error.format_message()} See 'mk-approve --help'.", 2)
    except ModeKeeperError as error:
        return _failed(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted: nothing was signed.", 1)
    except Exception as error:  # noqa: BLE001 - its text might hold what it was called with
        return _failed(f"internal error ({type(error).__name__}). This is a bug of mk-approve.", 1)
    return result if isinstance(result, int) else 0


def _agreed() -> None:
    """Ask.

    Raises:
        BadInputError: the answer is no, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise BadInputError("nobody is there to say yes: use a terminal, or give --yes. Nothing was signed")
    if not click.confirm("Sign it?", default=False):
        raise BadInputError("you did not say yes: nothing was signed")


def _secret(file: Path | None, *, new: bool = False) -> Passphrase:
    return find_passphrase(file, os.environ, variable=PASSPHRASE_VARIABLE, new=new)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip(" ")))
        sys.stdout.write(f"{indent}{visible(line, 1000)}\n")


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"ERROR: {visible_ends(message)}\n")
    return code
