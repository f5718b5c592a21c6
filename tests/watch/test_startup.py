"""The calls that go without the command-line library print what they print with it."""

import gc

import click.testing
import pytest

from modekeeper.cli.main import main
from modekeeper.cli.tree import root


def test_the_short_way_to_the_chords_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chords", "list"]) == 0
    short = capsys.readouterr().out
    long = click.testing.CliRunner().invoke(root, ["chords", "list"], standalone_mode=False)
    assert long.return_value == 0
    assert short == long.output
    assert short.startswith("chord\t")
    assert short.count("\n") > 3


def test_garbage_is_collected_again_after_a_command() -> None:
    main(["chords", "list"])
    assert gc.isenabled()
