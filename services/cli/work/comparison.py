"""Compare two versions, stored or in files, for the commands that print it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import typer

from services.app.reporting import stored_versions
from services.cli import evaluate_view
from services.cli.comparing import CompareOptions
from services.cli.console import console
from services.cli.context import Context, run
from services.cli.work.opened import opened
from services.contracts.identity import DetectorId
from services.evaluator.files.versions import FileVersion, compared_files
from services.evaluator.versions.report import ComparisonReport
from services.formats.items import Detector, FrameItem, Rejection
from services.formats.readers.coco import read_coco


class Compared(NamedTuple):
    """A comparison, and the images of files that it leaves out.

    Attributes
    ----------
    left_out : a line for each file of which images do not count, because records were refused;
        none if that is accepted
    """

    report: ComparisonReport
    left_out: Sequence[str] = ()


def comparison(context: Context, old: str, new: str, options: CompareOptions) -> Compared:
    """Compare the two versions. Refused records of files are printed, with what they leave out.

    Raises
    ------
    InvalidRecord
        They have no frame in common, or a file is unreadable.
    typer.BadParameter
        A file does not exist.
    """
    if options.ground_truth is None:
        names = DetectorId(old), DetectorId(new)
        return Compared(
            run(lambda: _stored(context, *names, options), interrupted="Nothing was changed.")
        )
    operating = context.settings().operating_scores
    before, after = _OfFile.read(old, options), _OfFile.read(new, options)
    out = console(stderr=True)  # the comparison may be piped
    # Both have the ground truth's.
    refused = {(part.location, part.detail): part for part in [*before.refused, *after.refused]}
    evaluate_view.print_refused(out, list(refused.values()), {})
    left_out = [line for file in (before, after) for line in file.left_out]
    for line in left_out:
        out.print(line, style="yellow", highlight=False, soft_wrap=True)
    report = compared_files(before.version, after.version, operating)
    return Compared(report, () if options.accept_partial else left_out)


async def _stored(
    context: Context, old: DetectorId, new: DetectorId, options: CompareOptions
) -> ComparisonReport:
    async with opened(context.stored(), "compare") as app:
        versions = stored_versions(app.stores, app.settings.operating_scores)
        return await versions.compare(old, new, options.frames.value)


class _OfFile(NamedTuple):
    """One file of results."""

    version: FileVersion
    refused: Sequence[Rejection]

    @classmethod
    def read(cls, name: str, options: CompareOptions) -> Self:
        results, ground_truth = Path(name), options.ground_truth
        if not results.exists():
            raise typer.BadParameter(f"{results} does not exist", param_hint="OLD NEW")
        assert ground_truth is not None
        detector = Detector("compared", "1", options.iou_type)
        dataset = read_coco(ground_truth, images=None, predictions=results, detector=detector)
        version = FileVersion(name, options.iou_type, accept_partial=options.accept_partial)
        refused: list[Rejection] = []
        for item in dataset.items:
            if isinstance(item, FrameItem):
                version.add(item)
            elif isinstance(item, Rejection):
                refused.append(item)
                version.add_refused(item)
        return cls(version, refused)

    @property
    def left_out(self) -> Iterable[str]:
        for reason, count in self.version.left_out.items():
            yield (
                f"{self.version.name}: {count:,} images left out ({reason}): correct the files, or"
                " count these images too with --accept-partial"
            )
