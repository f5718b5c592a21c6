"""The click command tree, built from the table; a command's module is imported when it is run."""
# ruff: noqa: ARG002 - the signatures are click's

import gc
from importlib import import_module
from typing import Any, NoReturn

import click

from modekeeper.cli.commands import COMMANDS, GROUPS, Command, overview
from modekeeper.model.errors import BadInputError

__all__ = ["root", "run_click"]


class _Branch(click.Group):
    """A group whose members come from the table."""

    def __init__(self, prefix: tuple[str, ...], **settings: Any) -> None:
        super().__init__(**settings)
        self._prefix = prefix

    def _members(self) -> dict[str, list[Command]]:
        depth = len(self._prefix)
        members: dict[str, list[Command]] = {}
        for command in COMMANDS:
            if command.words[:depth] == self._prefix:
                members.setdefault(command.words[depth], []).append(command)
        return members

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._members())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self._members().get(cmd_name)
        if found is None:
            return None
        words = (*self._prefix, cmd_name)
        if len(found) > 1 or found[0].words != words:
            return _Branch(words, name=cmd_name, help=GROUPS[cmd_name], no_args_is_help=False)
        module, _, attribute = found[0].code.partition(":")
        command = getattr(import_module(module), attribute)
        gc.enable()
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours, a test walks it
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._members() and not name.startswith("-"):
            _unknown(" ".join(("mk", *self._prefix)), name, list(self._members()))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, found[0].summary) for name, found in self._members().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class _Root(_Branch):
    def get_help(self, ctx: click.Context) -> str:
        return overview().rstrip("\n")


root = _Root((), name="mk", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})


def run_click(words: list[str]) -> int:
    """Run one command line; usage errors come out as ``BadInputError``."""
    try:
        result = root.main(args=words, prog_name="mk", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help() if asked.ctx else overview())
        return 2
    except click.exceptions.NoSuchOption as error:
        options = [name for param in error.ctx.command.params for name in param.opts] if error.ctx else []
        _unknown(error.ctx.command_path if error.ctx else "mk", error.option_name, options)
    except click.UsageError as error:
        where = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        raise BadInputError(f"{_sentence(error.format_message())}{where}") from error
    except click.ClickException as error:
        raise BadInputError(_sentence(error.format_message())) from error
    except click.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else 0


def _unknown(where: str, given: str, known: list[str]) -> NoReturn:
    import difflib  # noqa: PLC0415 - only where somebody mistyped

    close = difflib.get_close_matches(given, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(known)}."
    kind = "option" if given.startswith("-") else "command"
    raise BadInputError(f"{where}: no such {kind} {given!r}. {hint} See '{where} --help'.")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."
