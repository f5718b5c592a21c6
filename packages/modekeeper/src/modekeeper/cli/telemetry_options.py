"""Options that say which telemetry to read, and the choice they parse to."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from modekeeper.cli.options import DURATION, gathered
from modekeeper.model.errors import BadInputError

__all__ = ["TelemetryChoice", "jobs_option", "telemetry_options"]

_MOST_JOBS = 64


class TelemetryChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which telemetry to read, as asked for on the command line."""

    source: str | None = None
    paths: tuple[str, ...] = ()
    follow: bool = False
    scenario: str | None = None
    seed: int = 0
    duration_s: float | None = None
    record_raw: str | None = None
    path_option: str = "--path"
    """What the option that names files is called in this command."""
    label: str | None = None
    """What reports call it, where its path means nothing to the user."""
    jobs: int | msgspec.UnsetType = msgspec.UNSET
    """Processes that read it; decided by its size where nobody says. It makes no other telemetry of it."""

    @property
    def kind(self) -> str:
        """``file`` or ``synthetic``: what was asked for, or what the other options imply.

        Raises:
            BadInputError: nothing names any telemetry, or the options contradict each other.
        """
        if self.source == "synthetic" and self.paths:
            raise BadInputError(
                f"synthetic telemetry and {self.path_option} contradict each other. Give one of the two."
            )
        if self.source == "file" and not self.paths:
            raise BadInputError(
                f"no telemetry named. Give {self.path_option} a JSON-lines or CSV file, or '-' for standard input."
            )
        if self.source is not None:
            return self.source
        if self.paths:
            return "file"
        if self.scenario is not None:
            return "synthetic"
        raise BadInputError(
            f"no telemetry named. Give {self.path_option} a JSON-lines or CSV file ('-' for standard input), "
            "or --scenario a name."
        )


def telemetry_options(
    prefix: str = "", *, to_its_end: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that name telemetry, each with ``prefix`` (``observe-``); the command gets ``telemetry``.

    ``--jobs`` goes with commands that read it ``to_its_end``.
    """

    def build(given: dict[str, Any]) -> TelemetryChoice:
        jobs = given.pop("jobs", None)
        return TelemetryChoice(path_option=f"--{prefix}path", jobs=jobs or msgspec.UNSET, **given)

    return gathered("telemetry", build, _telemetry(prefix) + ([_jobs("telemetry__jobs")] if to_its_end else []))


def jobs_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--jobs``: the command gets ``jobs``, which is ``None`` where nobody says."""
    with_jobs: Callable[..., Any] = _jobs("jobs")(function)
    return with_jobs


def _telemetry(prefix: str) -> list[Callable[..., Any]]:
    return [
        click.option(
            f"--{prefix}source",
            "telemetry__source",
            type=click.Choice(["file", "synthetic"]),
            help=f"Where telemetry comes from; implied by --{prefix}path or --scenario.",
        ),
        click.option(
            f"--{prefix}path",
            "telemetry__paths",
            multiple=True,
            metavar="FILE",
            help="JSON lines or CSV, plain, gzip or zstd; a glob; '-' is standard input. May be repeated.",
        ),
        click.option(
            f"--{prefix}follow",
            "telemetry__follow",
            is_flag=True,
            help="Keep reading as the file grows, until interrupted.",
        ),
        click.option(
            "--scenario",
            "telemetry__scenario",
            metavar="NAME",
            help="Synthetic telemetry: stable, drift, burst, straggler, gpu_saturated, mixed_environment "
            "or incident_and_recovery.",
        ),
        click.option(
            "--seed",
            "telemetry__seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Seed of a scenario.",
        ),
        click.option(
            f"--{prefix}duration",
            "telemetry__duration_s",
            type=DURATION,
            help="Read so much telemetry time at most: 90, 90s, 5m, 1h.",
        ),
        click.option(
            f"--{prefix}record-raw",
            "telemetry__record_raw",
            metavar="FILE",
            help="Keep what was read, byte for byte, for a later replay.",
        ),
    ]


def _jobs(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--jobs",
        name,
        type=click.IntRange(min=1, max=_MOST_JOBS),
        metavar="N",
        help="Processes that read large files together; by default as many as the file and the machine are good for. "
        "The result is the same.",
    )
