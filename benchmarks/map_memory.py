"""Ten million detections held: how many bytes they take, and how long the next batch does."""

import resource
import time
from dataclasses import replace

from rich.console import Console

from benchmarks.map_data import Data, Gazeloop, synthetic

COPIES = 64
IMAGES = 5000


def later(data: Data, images: int) -> Data:
    """The same on later images."""
    return replace(
        data,
        first=data.first + images,
        last=data.last + images,
        truth_image=data.truth_image + images,
        image=data.image + images,
    )


def peak() -> int:
    """Most bytes that this process has had in memory so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Print it."""
    data = synthetic(IMAGES, 40416, 157258)
    small = Gazeloop()
    small.add(data.part(0, 100))
    small.numbers()  # everything is compiled and loaded by now
    before = peak()
    ours = Gazeloop()
    for copy in range(COPIES):
        ours.add(later(data, copy * IMAGES))
    ours.numbers()
    batch = later(data.part(0, 100), COPIES * IMAGES)
    started = time.perf_counter()
    ours.add(batch)
    ours.numbers()
    seconds = time.perf_counter() - started
    count = COPIES * data.scores.size + batch.scores.size
    Console(width=400).print(
        f"held: {count:,} detections; tables {ours.state.nbytes / count:.1f} bytes each, with frame"
        f" ids, figures and what joining takes for a moment {(peak() - before) / count:.1f};"
        f" process {peak() / 1e6:,.0f} MB at its peak; 100 more images and all twelve numbers"
        f" {seconds:.3f} s"
    )


if __name__ == "__main__":
    main()
