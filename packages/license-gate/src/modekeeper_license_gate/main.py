"""``mk-license``: the command line. Parses, calls one function, prints its lines, returns a code."""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from modekeeper.cli.clocks import SystemClock
from modekeeper.model.errors import BadInputError, ModeKeeperError
from modekeeper.model.untrusted import visible, visible_ends
from modekeeper.ports.clock import Clock
from modekeeper.trust.license import LONGEST_LICENSE_BYTES, read_license
from modekeeper.trust.passphrase import Passphrase, find_passphrase
from modekeeper_license_gate import work
from modekeeper_license_gate.key_folder import KeyFolder
from modekeeper_license_gate.signing import LicenseTerms

__all__ = ["PASSPHRASE_VARIABLE", "main"]

PASSPHRASE_VARIABLE = "MK_LICENSE_PASSPHRASE"  # noqa: S105 - its name
LONGEST_DAYS = 3660

_FOLDER = click.option("--folder", type=Path, required=True, help="The folder of keys and of the keyring.")
_PASSPHRASE = click.option(
    "--passphrase-file",
    type=Path,
    help=f"A file only you can read. Else {PASSPHRASE_VARIABLE}, else you are asked; never on the command line.",
)
_DAYS = click.IntRange(1, LONGEST_DAYS)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Make keys, issue licences, rotate and revoke. The vendor's own command."""


@root.command()
@_FOLDER
@_PASSPHRASE
@click.option("--kid", required=True, help="The key's name, never used before.")
def keys(folder: Path, passphrase_file: Path | None, kid: str) -> None:
    """Make a key, of an issuer or of the root, and list it in the folder's keyring."""
    _say(work.make_key(KeyFolder(folder), kid, _secret(passphrase_file, new=True)))


@root.command()
@_FOLDER
@_PASSPHRASE
@click.option("--kid", help="Make the next key under this name; the old ones stay listed.")
@click.option("--retire", help="List this key no more: when all it signed has expired.")
def rotate(folder: Path, passphrase_file: Path | None, kid: str | None, retire: str | None) -> None:
    """Begin a rotation (--kid) or end one (--retire)."""
    if (kid is None) == (retire is None):
        raise BadInputError("give --kid to begin a rotation or --retire to end one")
    keys_of = KeyFolder(folder)
    if retire is not None:
        _say(work.retire_key(keys_of, retire))
        return
    if not keys_of.keyring().keys:
        raise BadInputError(f"there is no key in {str(folder)!r} to follow: mk-license keys makes the first")
    _say(work.make_key(keys_of, str(kid), _secret(passphrase_file, new=True)))


@root.command()
@_FOLDER
@_PASSPHRASE
@click.option("--kid", required=True, help="The key that signs.")
@click.option("--org", required=True, help="Whom the licence is for.")
@click.option("--issuer", required=True, help="Who issues it, as customers are shown it.")
@click.option("--days", type=_DAYS, required=True, help="How long it is good, from now.")
@click.option("--entitlement", multiple=True, help="What it opens; repeat it.")
@click.option("--bind-cluster", help="The uid of the namespace kube-system it is good for.")
@click.option("--bind-host", help="The host it is good for.")
@click.option("--bind-org", help="The organisation it is good for.")
@click.option("--out", type=Path, required=True, help="The file of the licence.")
@click.pass_obj
def issue(clock: Clock, /, folder: Path, kid: str, out: Path, **said: Any) -> None:
    """Sign a licence."""
    now = clock.now()
    bound = {name: said[f"bind_{name}"] for name in ("cluster", "host", "org")}
    terms = LicenseTerms(
        org=said["org"],
        issuer=said["issuer"],
        issued_at=now,
        expires_at=now + timedelta(days=said["days"]),
        entitlements=said["entitlement"],
        bindings={name: value for name, value in bound.items() if value is not None},
    )
    _say(work.issue(KeyFolder(folder), kid, _secret(said["passphrase_file"]), terms, out))


@root.command()
@_FOLDER
@click.option("--kid", multiple=True, help="A key: nothing it signed is good any more.")
@click.option("--license", "licences", type=Path, multiple=True, help="The file of a licence.")
@click.option("--digest", multiple=True, help="A licence, by its digest.")
def revoke(folder: Path, kid: tuple[str, ...], licences: tuple[Path, ...], digest: tuple[str, ...]) -> None:
    """Put keys or licences on the keyring's deny-list."""
    digests = (*digest, *(read_license(work.read_file(path, LONGEST_LICENSE_BYTES)).digest for path in licences))
    if bool(kid) == bool(digests):
        raise BadInputError("give either --kid, or --license or --digest")
    _say(work.revoke(KeyFolder(folder), "key" if kid else "licence", kid or digests))


@root.command()
@_FOLDER
@_PASSPHRASE
@click.option("--root-folder", type=Path, required=True, help="The folder of the root's key, kept elsewhere.")
@click.option("--root-kid", required=True, help="The root's key.")
@click.option("--days", type=_DAYS, required=True, help="How long the keyset is good, from now.")
@click.option(
    "--out", type=Path, required=True, help="The file of the keyset; the one that is there gives its version."
)
@click.pass_obj
def keyset(clock: Clock, /, folder: Path, root_folder: Path, root_kid: str, **said: Any) -> None:
    """Sign the issuers' keyring with the root's key, for customers in chain mode."""
    issuers, signer = KeyFolder(folder).keyring(), KeyFolder(root_folder)
    secret = _secret(said["passphrase_file"])
    made = {"now": clock.now(), "days": said["days"], "out": said["out"]}
    _say(work.sign_keyset(issuers, signer, root_kid, secret, **made))


@root.command()
@click.argument("file", type=Path)
def inspect(file: Path) -> None:
    """Say what a licence, a keyring or a keyset holds. Private keys stay closed."""
    _say(work.inspect(file))


@root.command()
@click.option("--out", type=Path, required=True, help="The folder of the licence and of its keyring.")
@click.option("--days", type=int, default=30, show_default=True, help="How long it is good, from now.")
@click.option("--entitlement", multiple=True, default=("apply", "autotune"), show_default=True, help="What it opens.")
@click.pass_obj
def dev(clock: Clock, out: Path, days: int, entitlement: tuple[str, ...]) -> None:
    """Make a development licence for demos, with a key of its own that nobody keeps."""
    _say(work.make_development_licence(out, now=clock.now(), days=days, entitlements=entitlement))


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 tried and failed, 2 refused or bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = root.main(args=words, prog_name="mk-license", standalone_mode=False, obj=clock or SystemClock())
    except click.exceptions.NoArgsIsHelpError as asked:
        sys.stdout.write(f"{asked.ctx.get_help() if asked.ctx else ''}\n")
        return 2
    except click.ClickException as error:
        return _failed(f"{error.format_message()} See 'mk-license --help'.", 2)
    except ModeKeeperError as error:
        return _failed(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted; files written so far are whole.", 1)
    except Exception as error:  # noqa: BLE001 - its text might hold what it was called with
        return _failed(f"internal error ({type(error).__name__}). This is a bug of mk-license.", 1)
    return result if isinstance(result, int) else 0


def _secret(file: Path | None, *, new: bool = False) -> Passphrase:
    return find_passphrase(file, os.environ, variable=PASSPHRASE_VARIABLE, new=new)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{visible(line, 1000)}\n")


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"ERROR: {visible_ends(message)}\n")
    return code
