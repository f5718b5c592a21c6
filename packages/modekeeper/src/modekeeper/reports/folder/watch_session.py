"""A session of ``watch``: iterations at fixed distances, each in a folder of its own, rolled up after each."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.bundle import Provenance
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.contracts.parts import SourcePart
from modekeeper.artifacts.contracts.reports import WatchReport
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import iso_utc, parse_iso
from modekeeper.loop.apply_request import ApplyRequest, KillSwitchLook
from modekeeper.loop.engine import Engine
from modekeeper.loop.reading import RawRecording
from modekeeper.loop.recorder import RunRecorder
from modekeeper.loop.schedule import next_slot
from modekeeper.loop.settings import LoopSettings
from modekeeper.loop.watching import IterationFacts, iterate
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.trace import TraceEvent
from modekeeper.ports.clock import Clock, StopSignal
from modekeeper.ports.telemetry import TelemetrySource
from modekeeper.reports.folder.acting import Acted, ActingPlace, Hands
from modekeeper.reports.folder.acts_state import ActsState
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.reports.folder.run_folder import DecidedPlan, RunRecord, write_plan, write_run_folder
from modekeeper.reports.folder.trace_file import TRACE_NAME, trace_file
from modekeeper.reports.folder.watch_acts import Audit, Iteration, WatchActs
from modekeeper.reports.folder.watch_folder import OF_AN_APPLY, forget, iteration_folders, joined_traces
from modekeeper.reports.folder.watch_report import WatchRollUp, failed_report, publish_watch_report, watch_report
from modekeeper.reports.folder.watch_state import WatchState, damaged, load_state, save_state
from modekeeper.value.opportunity import CostModel

__all__ = ["WatchPlan", "WatchSession"]

_POINTS_OF_AN_ITERATION = 100
_POINTS_OF_A_SESSION = 300
_DOOR = "door"


@dataclass(frozen=True, kw_only=True)
class WatchPlan:
    """What to watch, how often, and how much of it to keep."""

    name: str
    watched: str
    """The telemetry as it was asked for: a session goes on only where that and the settings are the same."""
    settings: LoopSettings
    interval_s: float
    max_iterations: int | None
    """Iterations of this process; ``None`` goes on until stopped."""
    keep: int
    """Folders of iterations kept on disk; at least 1."""
    apply: ApplyRequest
    kill_switch: KillSwitchLook
    """Looked at anew in each iteration."""
    catalog: CatalogUse
    cost: CostModel
    provenance: Provenance
    hands: Hands | None = None
    """What applies plans; ``None``: nobody asked, or nothing here can."""
    audit: Audit | None = None
    """Looked at in each iteration of a session that applies, or that has applied."""


class WatchSession:
    """Runs iterations and writes their artifacts. Made anew by each process; the checkpoint connects them."""

    def __init__(
        self,
        store: FolderStore,
        source: TelemetrySource,
        plan: WatchPlan,
        clock: Clock,
        *,
        describe_source: Callable[[], SourcePart],
        describe_recording: Callable[[], RawRecording | None],
        fresh: bool,
    ) -> None:
        """Open the session in ``store``, going on from its checkpoint unless ``fresh``.

        Raises:
            BadInputError: the checkpoint is of another session, or damaged.
        """
        self._store = store
        self._source = source
        self._plan = plan
        self._clock = clock
        self._describe_source = describe_source
        self._describe_recording = describe_recording
        self._engine = Engine(plan.settings, measuring=plan.hands is not None)
        self._recorder = RunRecorder(_POINTS_OF_A_SESSION)
        self._explain = ExplainLog(clock, limit=500)
        self._started = clock.now()
        self._iteration = 0
        self._resumed_from: int | None = None
        self._kept: list[str] = []
        self._skipped = 0
        self._no_data = 0
        self._quiet = 0
        self._report: WatchReport | None = None
        self._saved: WatchState | None = None
        self._apply = plan.apply
        self._session = _session_digest(plan)
        may_have_applied = plan.hands is not None or (store.root / _DOOR).is_dir()
        self._acts = WatchActs(
            plan.hands,
            self._engine,
            self._explain,
            clock,
            audit=plan.audit if may_have_applied else None,
            save=self._save_acts,
        )
        if fresh:
            forget(store)
        else:
            self._go_on()

    @property
    def resumed_from(self) -> int | None:
        """The iteration an earlier process ended with."""
        return self._resumed_from

    @property
    def refusal(self) -> K8sApplyReport | None:
        """The refusal the session ended with, where no later try could have turned it."""
        return self._acts.refusal

    def run(self, stop: StopSignal, after_iteration: Callable[[WatchRollUp], None]) -> WatchRollUp:
        """Iterate until ``max_iterations`` are done or ``stop`` is set; the last roll-up is on disk by then.

        Raises:
            BadInputError: the telemetry has gone.
            FailedError: reading or writing broke off. The roll-up says so, where there is one and a place for it.
        """
        try:
            return self._run(stop, after_iteration)
        except Exception:
            if self._report is not None:
                with suppress(FailedError):
                    publish_watch_report(self._store, failed_report(self._report, self._clock.now()))
            raise

    def _run(self, stop: StopSignal, after_iteration: Callable[[WatchRollUp], None]) -> WatchRollUp:
        if self._saved is None and self._plan.hands is not None:
            self._saved = self._state(())
        began_s = self._clock.monotonic_s()
        slot = done = 0
        last_wanted = self._plan.max_iterations
        while True:
            done += 1
            last = last_wanted is not None and done >= last_wanted
            self._iterate(stop, last=last)
            roll_up = self._checkpoint(self._reason_to_end(stop, last=last))
            after_iteration(roll_up)
            if roll_up.stop_reason is not None:
                return roll_up
            coming = next_slot(slot, self._plan.interval_s, self._clock.monotonic_s() - began_s)
            slot, self._skipped = coming.number, self._skipped + coming.skipped
            if self._clock.sleep(coming.wait_s, stop):
                return self._checkpoint("signal")

    def _reason_to_end(self, stop: StopSignal, *, last: bool) -> str | None:
        cannot_apply = self._plan.apply.requested and self._plan.hands is None
        if self._acts.refusal is not None or (last and cannot_apply and not stop.is_set()):
            return "blocked"
        return "signal" if stop.is_set() else "max_iterations" if last else None

    def _iterate(self, stop: StopSignal, *, last: bool) -> IterationFacts:
        started = self._clock.now()
        self._iteration += 1
        self._acts.begin(self._iteration)
        name = f"iter_{self._iteration:04d}"
        self._drop_folder(name)
        folder = self._store.folder(name)
        explain = ExplainLog(self._clock)
        part = self._recorder.next_part(_POINTS_OF_AN_ITERATION)
        explain.add("iteration_started", iteration=self._iteration, source=self._source.describe)
        with trace_file(folder) as trace:

            def hear(event: TraceEvent) -> None:
                trace.add(event)
                self._acts.heard(event)

            facts = iterate(self._source, self._engine, (self._recorder, part), stop, hear, last=last)
        self._look_at_the_switch()
        finished = self._clock.now()
        explain.add("observe_ingest", samples=facts.samples, **msgspec.to_builtins(facts.ingest))
        record = RunRecord(
            name=self._plan.name,
            settings=self._plan.settings,
            source=self._describe_source(),
            ingest=facts.ingest,
            environment=self._engine.environment(),
            recorder=part,
            state=self._engine.state,
            trace=trace.described(folder),
            apply=self._apply,
            catalog=self._plan.catalog,
            raw=self._describe_recording(),
            cost=self._plan.cost,
            provenance=self._plan.provenance,
        )
        decided = write_plan(folder, record, finished)
        # Who asked to stop gets no new change; the next process goes on with what is due.
        record = replace(record, acted=self._acts.idle() if stop.is_set() else self._act(folder, decided, explain))
        ended = finished if self._plan.hands is None else self._clock.now()
        write_run_folder(folder, record, decided, explain, (started, ended))
        self._no_data += facts.no_data
        # At the end of a session records that have waited for long are given: that breaks no silence.
        self._quiet = self._quiet + 1 if facts.no_data or (self._quiet and facts.nothing_came) else 0
        self._kept.append(name)
        self._explain.add("iteration_finished", iteration=self._iteration, samples=facts.samples, folder=name)
        return facts

    def _act(self, folder: FolderStore, decided: DecidedPlan, explain: ExplainLog) -> Acted | None:
        """What the acting half made of the plan; ``None`` where nothing here can apply."""
        place = ActingPlace(
            folder=folder,
            door=self._store,
            explain=explain,
            clock=self._clock,
            provenance=self._plan.provenance,
            bundle_path=decided.bundle_path,
        )
        said = self._acts.act(
            Iteration(number=self._iteration, decided=decided, switch=self._apply.kill_switch, place=place)
        )
        if self._plan.hands is None:
            return None
        for name in OF_AN_APPLY:
            data = folder.read_bytes(name)
            if data is not None:
                self._store.write_bytes(name, data)
        return said

    def _look_at_the_switch(self) -> None:
        """Where the kill-switch stands now; that it moved is an event of the session."""
        before, switch = self._apply.kill_switch, self._plan.kill_switch()
        self._apply = msgspec.structs.replace(self._apply, kill_switch=switch)
        if switch != before:
            self._explain.add("kill_switch_moved", **msgspec.structs.asdict(switch), iteration=self._iteration)

    def _roll_up(self, reason: str | None) -> WatchRollUp:
        plan = self._plan
        folder = self._kept[-1] if self._kept else None
        keep = self._kept[-plan.keep :]
        return WatchRollUp(
            started=self._started,
            finished=self._clock.now(),
            interval_s=plan.interval_s,
            iterations=self._iteration,
            resumed_from=self._resumed_from,
            intervals_skipped=self._skipped,
            stop_reason=reason,
            source=self._describe_source(),
            ingest=self._source.counters(),
            raw=self._describe_recording(),
            environment=self._engine.environment(),
            recorder=self._recorder,
            no_data_iterations=self._no_data,
            no_data_in_a_row=self._quiet,
            state=self._engine.state,
            settings=plan.settings,
            apply=self._apply,
            acts=self._acts.part() if plan.hands is not None or self._acts.state != ActsState() else None,
            cost=plan.cost,
            name=plan.name,
            kept=tuple(keep),
            last_folder=folder,
        )

    def _checkpoint(self, reason: str | None) -> WatchRollUp:
        """Bring the session folder up to date. The checkpoint is written last, and old folders go after it."""
        if reason is not None:
            self._explain.add("session_stopped", reason=reason, iteration=self._iteration)
        roll_up = self._publish(reason)
        self._saved = self._state(roll_up.kept)
        save_state(self._store, self._saved)
        for name in self._kept[: -self._plan.keep]:
            self._drop_folder(name)
        self._kept = list(roll_up.kept)
        return roll_up

    def _state(self, kept: tuple[str, ...]) -> WatchState:
        acts = self._acts.state
        return WatchState(
            session=self._session,
            started_at=iso_utc(self._started),
            iteration=self._iteration,
            kept=kept,
            intervals_skipped=self._skipped,
            no_data_iterations=self._no_data,
            no_data_in_a_row=self._quiet,
            position=self._source.position(),
            engine=self._engine.snapshot(),
            recorder=self._recorder.snapshot(),
            acts=None if acts == ActsState() else acts,
        )

    def _save_acts(self) -> None:
        """The last checkpoint once more, with the plan that is about to be applied: whatever becomes of this process,
        the next one knows of it.
        """
        assert self._saved is not None  # noqa: S101 - there is one before the first iteration
        save_state(self._store, msgspec.structs.replace(self._saved, acts=self._acts.state))

    def _publish(self, reason: str | None) -> WatchRollUp:
        """Everything in the session folder but the checkpoint."""
        roll_up = self._roll_up(reason)
        self._store.write_bytes(TRACE_NAME, joined_traces(self._store, roll_up.kept))
        self._store.write_bytes("explain.jsonl", self._explain.data())
        self._report = watch_report(self._store, roll_up)
        publish_watch_report(self._store, self._report)
        return roll_up

    def _go_on(self) -> None:
        state = load_state(self._store, self._session)
        if state is None:
            return
        try:
            self._engine.restore(state.engine)
            self._recorder.restore(state.recorder)
            self._source.resume(state.position)
            self._started = parse_iso(state.started_at)
        except BadInputError as error:
            raise BadInputError(f"{error} That is: give --fresh, or another --out.") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise damaged(self._store) from error
        self._iteration = self._resumed_from = state.iteration
        self._kept = list(state.kept)
        self._skipped, self._no_data = state.intervals_skipped, state.no_data_iterations
        self._quiet = state.no_data_in_a_row
        self._saved = state
        self._acts.restore(state.acts or ActsState())
        self._explain.take_over(self._store.read_bytes("explain.jsonl") or b"")
        self._explain.add("session_resumed", after_iteration=state.iteration)
        self._undo_what_was_begun()

    def _undo_what_was_begun(self) -> None:
        """Take back what a killed process wrote after its last checkpoint, or had not yet cleared away."""
        self._publish(None)
        for folder in iteration_folders(self._store):
            if folder not in self._kept:
                self._drop_folder(folder)

    def _drop_folder(self, name: str) -> None:
        shutil.rmtree(self._store.root / name, ignore_errors=True)


def _session_digest(plan: WatchPlan) -> str:
    """What makes two sessions the same: what is watched, and how it is decided upon."""
    # What the pods carry may change between two processes; it is no choice of the user's.
    settings = msgspec.structs.replace(plan.settings, cluster_knobs={})
    return canonical_digest({"watched": plan.watched, "settings": msgspec.to_builtins(settings)})
