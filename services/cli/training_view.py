"""The progress display of a training run, with Ctrl-C handling."""

import signal
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.embedder.training.checkpoints import TrainingProgress
from services.embedder.training.training_run import Course


class TrainingView:
    """Shows two bars and a line per epoch; Ctrl-C stops after the current step."""

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
        signal.signal(signal.SIGINT, self._stop_requested)
        signal.signal(signal.SIGTERM, self._stop_requested)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bars, and restore the signal handlers."""
        self._bars.stop()
        signal.signal(signal.SIGINT, self._former)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def read(self, count: int) -> None:
        """Advance the bar of examples read."""
        self._bars.advance(self._reading, count)

    def stepped(self, progress: TrainingProgress, steps: int) -> None:
        """Advance the epoch's bar."""
        mean = progress.loss / max(progress.step, 1)
        number, of = progress.epoch + 1, self._course.schedule.epochs
        self._bars.update(
            self._epoch,
            description=f"epoch {number}/{of}, loss {mean:.4f}",
            completed=progress.step,
            total=steps,
            visible=True,
        )

    def measured(self, progress: TrainingProgress) -> None:
        """Print the retrieval metrics on the held-out drives."""
        row = progress.history[-1]
        loss = f"loss {row['loss']:.4f}  " if "loss" in row else ""
        best = "  best so far" if progress.best_epoch == progress.epoch else ""
        collapsed = ("  collapsed", "bold red") if row["collapsed"] else ""
        name = f"epoch {progress.epoch}" if progress.epoch else "before "
        line = (
            f"{name}  {loss}held out: P@1 {row['precision_at_1']:.3f}"
            f"  mAP@100 {row['map_at_100']:.3f}{best}"
        )
        self._out.print(Text.assemble(line, collapsed))

    def stops(self) -> bool:
        """Whether the user has requested a stop."""
        return self._stops

    def _stop_requested(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._stops:  # second signal: stop at once; the previous checkpoint stays
            self.close()
            raise KeyboardInterrupt
        self._stops = True
        self._out.print("Stopping after this step, so that nothing is lost …", highlight=False)
