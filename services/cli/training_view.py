"""What a person sees of a training run, and how he stops it."""

import signal
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.embedder.training.checkpoints import TrainingProgress
from services.embedder.training.training_run import Course


class TrainingView:
    """Two bars, a line per epoch, and Ctrl-C that stops after the step in hand."""

    def __init__(self, out: Console, course: Course, examples: int) -> None:
        self._out = out
        self._course = course
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=out,
            transient=True,
        )
        self._reading = self._bars.add_task("reading", total=examples)
        self._epoch = self._bars.add_task("epoch 1", total=None, visible=False)
        self._stops = False
        self._former = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        self._bars.start()
        signal.signal(signal.SIGINT, self._told)
        signal.signal(signal.SIGTERM, self._told)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Show no more bars; signals do what they did before."""
        self._bars.stop()
        signal.signal(signal.SIGINT, self._former)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def read(self, count: int) -> None:
        """So many more examples are read."""
        self._bars.advance(self._reading, count)

    def stepped(self, standing: TrainingProgress, steps: int) -> None:
        """Move the bar of the epoch."""
        mean = standing.loss / max(standing.step, 1)
        number, of = standing.epoch + 1, self._course.schedule.epochs
        self._bars.update(
            self._epoch,
            description=f"epoch {number}/{of}, loss {mean:.4f}",
            completed=standing.step,
            total=steps,
            visible=True,
        )

    def measured(self, standing: TrainingProgress) -> None:
        """Say how the held-out drives are retrieved now."""
        row = standing.history[-1]
        loss = f"loss {row['loss']:.4f}  " if "loss" in row else ""
        best = "  best so far" if standing.best_epoch == standing.epoch else ""
        collapsed = "  [bold red]collapsed[/]" if row["collapsed"] else ""
        name = f"epoch {standing.epoch}" if standing.epoch else "before "
        self._out.print(
            f"{name}  {loss}held out: P@1 {row['precision_at_1']:.3f}"
            f"  mAP@100 {row['map_at_100']:.3f}{best}{collapsed}",
            highlight=False,
        )

    def stops(self) -> bool:
        """Whether the person has asked for it."""
        return self._stops

    def _told(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._stops:  # a second time: at once; the former checkpoint stays
            self.close()
            raise KeyboardInterrupt
        self._stops = True
        self._out.print("Stopping after this step, so that nothing is lost …", highlight=False)
