"""``mk watch``, ``mk closed-loop watch``."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.watch_apply import WatchApplyPart
from modekeeper.artifacts.provenance import provenance
from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.applying import ended
from modekeeper.cli.clocks import clock_from
from modekeeper.cli.cluster_options import ClusterOptions
from modekeeper.cli.console import print_answer, print_json, say, warn
from modekeeper.cli.deciding import apply_request, kill_switch_look, refuse_apply, settings_from
from modekeeper.cli.hands import audit_for, hands_for
from modekeeper.cli.options import (
    DURATION,
    DecisionChoice,
    apply_option,
    cost_options,
    decision_options,
    examples,
    json_option,
    kill_switch_option,
    license_option,
    out_option,
)
from modekeeper.cli.sources import opened
from modekeeper.cli.stopping import stop_on_signals
from modekeeper.cli.telemetry_options import TelemetryChoice, live_options, telemetry_options
from modekeeper.model.decision import Target
from modekeeper.reports.folder.acting import Hands
from modekeeper.reports.folder.watch_folder import one_writer
from modekeeper.reports.folder.watch_report import WatchRollUp, watch_report
from modekeeper.reports.folder.watch_session import WatchPlan, WatchSession
from modekeeper.value.opportunity import CostModel

__all__ = ["closed_loop_watch", "watch"]


def _watch_options(function: Any) -> Any:
    for option in (
        click.option("--fresh", is_flag=True, help="Start anew; what an earlier session left in --out goes."),
        click.option(
            "--keep", type=click.IntRange(min=1), default=100, show_default=True, help="Iterations kept on disk."
        ),
        click.option(
            "--max-iterations",
            "--iterations",
            type=click.IntRange(min=1),
            help="Stop after so many iterations; else goes on until interrupted.",
        ),
        click.option(
            "--interval",
            type=DURATION,
            default="30s",
            show_default=True,
            help="Between the beginnings of iterations.",
        ),
    ):
        function = option(function)
    return function


def _command(out: str, *lines: str) -> click.Command:
    """``mk watch`` and ``mk closed-loop watch`` are one command under two names."""

    @click.command(name="watch", epilog=examples(*lines))
    @telemetry_options("observe-", to_its_end=False)
    @decision_options
    @live_options
    @cost_options
    @_watch_options
    @apply_option
    @license_option
    @kill_switch_option
    @out_option(out)
    @json_option
    def command(dry_run: bool, license_path: str | None, **given: Any) -> int:
        """Keep deciding, an interval at a time. Without --apply it changes nothing.

        Each iteration reads what has been added since, and has a folder of its own; watch_latest.json rolls them
        up. SIGINT and SIGTERM finish the iteration. The same command with the same --out goes on where the last one
        stopped. With --apply and the licensed package, what stands in the plan is applied and its effect measured; a
        change that does harm is taken back. Without that package --apply is refused after one iteration, with the
        reason in its artifacts.
        """
        return _watch(apply=not dry_run, license_path=license_path, **given)

    return command


watch = _command(
    "report/watch",
    "mk watch --observe-path /var/log/train/run.jsonl --interval 30s",
    "mk watch --observe-source k8s --k8s-namespace ml --k8s-deployment trainer --interval 30s",
    "mk watch --scenario incident_and_recovery --interval 1s --max-iterations 3",
)
closed_loop_watch = _command(
    "report/closed-loop-watch",
    "mk closed-loop watch --observe-path run.jsonl --interval 30s --dry-run",
    "mk closed-loop watch --scenario drift --interval 1s --max-iterations 2",
)


def _watch(
    *,
    apply: bool,
    telemetry: TelemetryChoice,
    decision: DecisionChoice,
    target: Target,
    cluster: ClusterOptions,
    gpus: float | None,
    gpu_hour_usd: float | None,
    interval: float,
    max_iterations: int | None,
    keep: int,
    fresh: bool,
    kill_switch_file: str | None,
    license_path: str | None,
    out: str,
    as_json: bool,
) -> int:
    clock = clock_from(os.environ)
    store = FolderStore(Path(out))
    telemetry = telemetry.of(target, cluster)
    settings, catalog = settings_from(decision, target)
    hands: Hands | str | None = None
    if apply:
        hands = hands_for(
            cluster, clock, settings, catalog, license_path=license_path, kill_switch_file=kill_switch_file
        )
    with (
        one_writer(store),
        stop_on_signals() as stop,
        opened(telemetry, clock, for_watch_every_s=interval) as open_telemetry,
    ):
        plan = WatchPlan(
            name=open_telemetry.name,
            watched=_watched(telemetry, cluster),
            settings=msgspec.structs.replace(settings, cluster_knobs=dict(open_telemetry.knobs)),
            interval_s=interval,
            max_iterations=1 if isinstance(hands, str) else max_iterations,
            keep=keep,
            apply=apply_request(hands),
            kill_switch=kill_switch_look(kill_switch_file, open_telemetry.cluster, target.namespace),
            catalog=catalog,
            cost=CostModel(gpus=gpus, gpu_hour_usd=gpu_hour_usd),
            provenance=provenance(),
            hands=hands if isinstance(hands, Hands) else None,
            audit=audit_for(cluster, clock, target, store.root) if apply or telemetry.source == "k8s" else None,
        )
        session = WatchSession(
            store,
            open_telemetry.source,
            plan,
            clock,
            describe_source=open_telemetry.part,
            describe_recording=open_telemetry.recording,
            fresh=fresh,
        )
        if session.resumed_from is not None:
            warn(f"going on after iteration {session.resumed_from} in {out} (--fresh starts anew)")
        final = session.run(stop, lambda roll_up: _show_iteration(roll_up, quiet=as_json))
    _show_end(store, final, as_json=as_json)
    return _code(session, final, hands)


def _code(session: WatchSession, final: WatchRollUp, hands: Hands | str | None) -> int:
    if isinstance(hands, str):
        refuse_apply(final.apply.kill_switch, hands)
    return 0 if session.refusal is None else ended(session.refusal, None)


def _watched(telemetry: TelemetryChoice, cluster: ClusterOptions) -> str:
    """What is watched: how the cluster is asked is no matter, which one it is, is."""
    which = ClusterOptions(kubeconfig=cluster.kubeconfig, context=cluster.context)
    return canonical_digest(msgspec.structs.replace(telemetry, follow=False, cluster=which))


def _show_iteration(roll_up: WatchRollUp, *, quiet: bool) -> None:
    """A line an iteration: rewritten in place on a terminal, one below the other in a pipe."""
    modes = roll_up.state.modes
    line = (
        f"iteration {roll_up.iterations}: {modes.mode}, {roll_up.recorder.series.sample_count:,} samples, "
        f"{roll_up.recorder.totals.ticks:,} ticks"
    )
    if roll_up.acts is not None:
        line += f", {_acts_line(roll_up.acts)}"
    if quiet:
        return
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{line}")
    else:
        say(line)
    sys.stdout.flush()


def _acts_line(part: WatchApplyPart) -> str:
    """What --apply did so far, and what it waits for."""
    words = [f"{part.applied_total} applied, {part.taken_back_total} taken back"]
    if part.stopped is not None:
        words.append(f"stopped: {part.stopped}")
    words += [f"waiting: {', '.join(waiting.reasons) or waiting.what}" for waiting in part.waiting]
    if part.measuring is not None:
        words.append(f"effect {part.measuring.state}")
    return "; ".join(words)


def _show_end(store: FolderStore, final: WatchRollUp, *, as_json: bool) -> None:
    report = watch_report(store, final)
    if as_json:
        print_json(report)
    else:
        if sys.stdout.isatty():
            say()
        print_answer(report.answer)
        say(
            f"Stopped after iteration {report.iterations} ({report.stop_reason}). "
            f"Everything up to it is in {store.root.as_posix()}."
        )
