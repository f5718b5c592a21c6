"""Entry point: the one place where errors become a line and a number."""

import gc
import os
import sys
from collections.abc import Sequence

from modekeeper import __version__
from modekeeper.cli.commands import overview
from modekeeper.model.errors import ModeKeeperError

__all__ = ["main"]

_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"], ["help"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 tried and failed, 2 refused or bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except ModeKeeperError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed("interrupted; files written so far are whole.", 1)
    except BrokenPipeError:
        # The reader of our output is gone: nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("MODEKEEPER_DEBUG"):
            raise
        return _failed(
            f"internal error ({type(error).__name__}: {error}). This is a bug of ModeKeeper; "
            "MODEKEEPER_DEBUG=1 shows where.",
            1,
        )
    finally:
        gc.enable()
    return code


def _run(words: list[str]) -> int:
    # The most frequent short calls need no command-line library, and are many times faster without.
    completing = "_MK_COMPLETE" in os.environ
    if words in _HELP and not completing:
        sys.stdout.write(overview())
        return 0
    if words == ["--version"]:
        sys.stdout.write(f"mk {__version__}\n")
        return 0
    # Importing makes objects that stay: looking for garbage among them is a tenth of the time of a short command.
    gc.disable()
    if words == ["chords", "list"] and not completing:
        from modekeeper.cli.chord_table import print_chords  # noqa: PLC0415 - see above

        return print_chords()
    from modekeeper.cli.tree import run_click  # noqa: PLC0415 - see above

    return run_click(words)


def _failed(message: str, code: int) -> int:
    line = " ".join(message.split())
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
    sys.stderr.write(f"ERROR: {printable}\n")
    return code
