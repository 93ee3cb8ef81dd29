"""Progress of a run: a live grid on a terminal, one plain line an event elsewhere, JSON lines for programs."""

import time
from collections import Counter
from contextlib import AbstractContextManager
from types import TracebackType

from rich.live import Live
from rich.table import Table

from rlvr_bench.cli import output
from rlvr_bench.cli.watch import Watch
from rlvr_bench.engine.runner import Event
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import Plan, Stage


class Silent(AbstractContextManager["Silent"]):
    """Shows nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, event: Event) -> None:
        """Take note of an event."""

    def tick(self) -> None:
        """Called a few times a second."""

    def notice(self, text: str) -> None:
        """Say something about the run as a whole."""
        output.aside().print(text, soft_wrap=True)


class Watching(Silent):
    """Says what looks wrong in a training, while it runs and when it ends."""

    def __init__(self, run: RunFolder) -> None:
        self.watch = Watch(run)

    def tick(self) -> None:
        """Give new warnings."""
        for stage, warning in self.watch.look():
            self.warn(stage, warning)

    def warn(self, stage: Stage, warning: str) -> None:
        """Give one warning."""
        raise NotImplementedError


class Json(Watching):
    """One JSON line an event or a warning, on stdout."""

    def notice(self, text: str) -> None:
        """Print it."""
        output.emit({"schema": "rlvr-bench/event/1", "event": "notice", "text": text})

    def event(self, event: Event) -> None:
        """Print the event."""
        failure = event.record.failure if event.record else None
        output.emit(
            {
                "schema": "rlvr-bench/event/1",
                "event": f"stage-{event.kind}",
                "stage": event.stage.id,
                "done": event.done,
                "total": event.total,
                **({"failure": failure.model_dump(exclude={"log_tail"})} if failure else {}),
            }
        )
        for warning in self.watch.event(event):
            self.warn(event.stage, warning)

    def warn(self, stage: Stage, warning: str) -> None:
        """Print one warning."""
        output.emit({"schema": "rlvr-bench/event/1", "event": "warning", "stage": stage.id, "warning": warning})


class Lines(Watching):
    """One plain line an event or a warning, on stderr."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run)
        self.console = output.aside()
        self.reused: Counter[str] = Counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reused()

    def _reused(self) -> None:
        """Say in one line how many stages were done before."""
        if self.reused:
            said = f"{self.reused['kept']} stages done before, {self.reused['cached']} shared with other runs"
            self.console.print(said, soft_wrap=True)
            self.reused.clear()

    def event(self, event: Event) -> None:
        """Print the event."""
        warnings = self.watch.event(event)
        if event.kind in ("kept", "cached"):
            self.reused[event.kind] += 1
            return
        self._reused()
        tail = ""
        if event.record and event.kind == "finished":
            tail = f"  {event.record.timing.wall_seconds:.1f} s"
            tail += _after_training(event)
        if event.record and event.record.failure:
            tail = f"  {event.record.failure.kind}: {event.record.failure.message}"
        self.console.print(f"[{event.done}/{event.total}] {event.kind} {event.stage.id}{tail}", soft_wrap=True)
        for warning in warnings:
            self.warn(event.stage, warning)

    def warn(self, stage: Stage, warning: str) -> None:
        """Print one warning."""
        self.console.print(f"warning: {stage.id}: {warning}", soft_wrap=True)


def _after_training(event: Event) -> str:
    training = event.record.training if event.record else None
    if training is None or not training.steps:
        return ""
    return f"  reward {training.steps[0].reward:.2f} > {training.steps[-1].reward:.2f}"


class Grid(Watching):
    """A live table: one row a model, with what runs now and what is done."""

    def __init__(self, run: RunFolder, plan: Plan) -> None:
        super().__init__(run)
        self.plan = plan
        self.running: dict[str, Stage] = {}
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.counted = 0
        self.worked = 0
        self.started = time.monotonic()
        self.live = Live(self._table(), console=output.aside(), refresh_per_second=4, transient=True)

    def __enter__(self) -> "Grid":
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def event(self, event: Event) -> None:
        """Take note of an event."""
        model = event.stage.cell.model
        warnings = self.watch.event(event)
        if event.kind == "started":
            self.running[event.stage.id] = event.stage
        elif event.kind == "retried":
            self.running.pop(event.stage.id, None)
        else:
            self.running.pop(event.stage.id, None)
            self.counted += 1
            self.worked += event.kind == "finished"
            (self.failed if event.kind in ("failed", "blocked") else self.done)[model] += 1
        for warning in warnings:
            self.warn(event.stage, warning)
        if event.record and event.record.failure:
            self.live.console.print(
                f"failed: {event.stage.id}: {event.record.failure.kind}: {event.record.failure.message}"
            )

    def tick(self) -> None:
        """Draw the table anew, with new warnings above it."""
        super().tick()
        self.live.update(self._table(), refresh=True)

    def notice(self, text: str) -> None:
        """Print it above the table."""
        self.live.console.print(text, soft_wrap=True)

    def warn(self, stage: Stage, warning: str) -> None:
        """Print one warning above the table."""
        self.live.console.print(f"warning: {stage.id}: {warning}")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=self._title(), title_justify="left")
        for name in ("model", "done", "failed", "now"):
            table.add_column(name)
        for card in self.plan.cards:
            total = sum(stage.cell.model == card.name for stage in self.plan.stages)
            now = [self._now(s) for s in self.running.values() if s.cell.model == card.name]
            failed = str(self.failed[card.name]) if self.failed[card.name] else ""
            table.add_row(card.name, f"{self.done[card.name]}/{total}", failed, ", ".join(now))
        return table

    def _title(self) -> str:
        elapsed = time.monotonic() - self.started
        left = len(self.plan.stages) - self.counted
        title = f"{self.counted}/{len(self.plan.stages)} stages, {elapsed:.0f} s"
        if self.worked >= 4 and left:
            rest = elapsed / self.worked * left
            title += f", {0.7 * rest:.0f}-{1.3 * rest:.0f} s left"
        return title

    def _now(self, stage: Stage) -> str:
        name = "/".join(stage.id.split("/")[1:])
        return f"{name} {self.watch.now(stage)}".rstrip()


def progress(run: RunFolder, plan: Plan) -> Silent:
    """Return the grid on a terminal, plain lines elsewhere."""
    console = output.aside()
    return Grid(run, plan) if console.is_terminal and not console.is_dumb_terminal else Lines(run)
