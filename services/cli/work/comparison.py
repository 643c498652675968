"""Compare two versions, stored or in files, for the commands that print it."""

from pathlib import Path

import typer

from services.app.parts import joined
from services.app.reporting import stored_versions
from services.cli.comparing import CompareOptions
from services.cli.console import console
from services.cli.context import Context, run
from services.cli.logs import log_to_file
from services.contracts.identity import DetectorId
from services.evaluator.files.versions import FileVersion, compared_files
from services.evaluator.versions.report import ComparisonReport
from services.formats.items import Detector, FrameItem
from services.formats.readers.coco import read_coco


def comparison(context: Context, old: str, new: str, options: CompareOptions) -> ComparisonReport:
    """Compare the two versions.

    Raises
    ------
    InvalidRecord
        They have no frame in common, or a file is unreadable.
    typer.BadParameter
        A file does not exist.
    """
    if options.ground_truth is None:
        names = DetectorId(old), DetectorId(new)
        return run(lambda: _stored(context, *names, options), interrupted="Nothing was changed.")
    operating = context.settings().operating_scores
    files = [_of_file(Path(name), options.ground_truth, options) for name in (old, new)]
    for name, file in zip((old, new), files, strict=True):
        for reason, count in file.left_out.items():
            text = f"{name}: {count:,} images left out ({reason})"
            console(stderr=True).print(text, style="yellow", highlight=False, markup=False)
    before, after = files
    return compared_files(before, after, operating)


async def _stored(
    context: Context, old: DetectorId, new: DetectorId, options: CompareOptions
) -> ComparisonReport:
    settings = context.stored()
    log_to_file(settings, "compare")
    async with joined(settings) as app:
        versions = stored_versions(app.stores, settings.operating_scores)
        return await versions.compare(old, new, options.frames.value)


def _of_file(results: Path, ground_truth: Path, options: CompareOptions) -> FileVersion:
    if not results.exists():
        raise typer.BadParameter(f"{results} does not exist", param_hint="OLD NEW")
    detector = Detector("compared", "1", options.iou_type)
    dataset = read_coco(ground_truth, images=None, predictions=results, detector=detector)
    version = FileVersion(str(results), options.iou_type, accept_partial=options.accept_partial)
    for item in dataset.items:
        if isinstance(item, FrameItem):
            version.add(item)
    return version
