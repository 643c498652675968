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
    gazeloop = Gazeloop()
    for copy in range(COPIES):
        gazeloop.add(later(data, copy * IMAGES))
    gazeloop.numbers()
    batch = later(data.part(0, 100), COPIES * IMAGES)
    started = time.perf_counter()
    gazeloop.add(batch)
    gazeloop.numbers()
    seconds = time.perf_counter() - started
    count = COPIES * data.scores.size + batch.scores.size
    Console(width=400).print(
        f"held: {count:,} detections; tables {gazeloop.state.nbytes / count:.1f} bytes each,"
        f" with frame ids, figures and what joining takes for a moment"
        f" {(peak() - before) / count:.1f};"
        f" process {peak() / 1e6:,.0f} MB at its peak; 100 more images and all twelve numbers"
        f" {seconds:.3f} s"
    )


if __name__ == "__main__":
    main()
