"""Open the data sets that a command's options name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from services.cli.console import console
from services.cli.datasets import DetectionOptions, TakenOptions
from services.cli.results_reading import read_results
from services.contracts.identity import detector_id
from services.domain.ports.category_maps import MapScope
from services.formats.category_map_files import read_category_map
from services.formats.items import Dataset, Detector
from services.formats.readers.coco import read_coco
from services.formats.readers.detections.registry import OutputReader
from services.formats.readers.image_folder import Taken, read_images
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.readers.via import read_via
from services.formats.readers.voc import read_voc
from services.formats.tag_files import read_tag_file, with_tags
from services.ground_truth.category_changes import CategoryChange

Opener = Callable[[], Dataset]
"""Opens a data set; called once, after everything else is ready."""
_NO_DETECTIONS = DetectionOptions()


def images_opener(
    folder: Path,
    by: TakenOptions,
    detections: DetectionOptions,
    files: Sequence[str] | None = None,
) -> Opener:
    """A function that opens a folder of images, or some files of it."""
    read = partial(
        read_images,
        folder,
        taken=Taken(by.vehicle, by.drive, by.drive_per_folder),
        files=files,
        predictions=detections.predictions,
        detector=detections.made_by(),
        dataset=detections.name,
        output_of=results_reader(detections),
    )
    return _completed(read, detections)


def opener_of(read: Callable[..., Dataset], manifest: Path | None, *says: str) -> Opener:
    """A function that opens what `read` reads.

    Parameters
    ----------
    read : takes the manifest of an export as `sent`, if there is one
    manifest : of the export that a tool's corrections began with
    says : the annotation fields that the format carries, as in `restored`
    """
    if manifest is None:
        return read

    def opener() -> Dataset:
        sent = Manifest.read(manifest)
        return restored(read(sent=sent), sent, says)

    return opener


def coco_opener(
    ground_truth: Path,
    images: Path | None,
    detections: DetectionOptions = _NO_DETECTIONS,
    manifest: Path | None = None,
) -> Opener:
    """A function that opens a COCO data set."""
    read = _reader(detections, read_coco, ground_truth, images)
    return _completed(
        opener_of(read, manifest, "area", "bbox", "crowd", "ignore", "mask"), detections
    )


def voc_opener(
    annotations: Path,
    images: Path | None,
    detections: DetectionOptions = _NO_DETECTIONS,
    manifest: Path | None = None,
) -> Opener:
    """A function that opens a VOC data set."""
    read = _reader(detections, read_voc, annotations, images)
    return _completed(opener_of(read, manifest, "crowd", "ignore"), detections)


def via_opener(
    annotations: Path,
    images: Path | None,
    detections: DetectionOptions = _NO_DETECTIONS,
    manifest: Path | None = None,
    *,
    category_attribute: str | None = None,
) -> Opener:
    """A function that opens a VIA data set."""
    read = _reader(detections, read_via, annotations, images)
    read = partial(read, category_attribute=category_attribute)
    return _completed(opener_of(read, manifest, "area", "mask"), detections)


def _completed(opener: Opener, detections: DetectionOptions) -> Opener:
    """The opener of a data set with the map of categories and the tags that the options name."""
    return _mapped(_tagged(opener, detections), detections)


def _tagged(opener: Opener, detections: DetectionOptions) -> Opener:
    file = detections.tags
    return opener if file is None else lambda: with_tags(opener(), read_tag_file(file))


def _mapped(opener: Opener, detections: DetectionOptions) -> Opener:
    file, made_by = detections.categories, detections.made_by()
    if file is None or made_by is None:
        return opener

    def mapped() -> Dataset:
        names = read_category_map(file)
        scope = MapScope(detector_id(made_by.name, made_by.version))
        return replace(opener(), categories=CategoryChange(scope, names))

    return mapped


def results_reader(detections: DetectionOptions) -> OutputReader:
    """The function that reads the results in the format that the options name."""
    return partial(
        read_results,
        format_name=detections.predictions_format,
        class_names=detections.class_names,
        out=console(),
    )


class _DataSetReader(Protocol):
    """Reads annotations together with the images and a detector's results."""

    def __call__(
        self,
        annotations: Path,
        /,
        *,
        images: Path | None,
        predictions: Path | None,
        detector: Detector | None,
        dataset: str | None,
        sent: Manifest | None = None,
        output_of: OutputReader,
    ) -> Dataset: ...


def _reader(
    detections: DetectionOptions,
    read: _DataSetReader,
    annotations: Path,
    images: Path | None,
) -> Callable[..., Dataset]:
    """The function that reads these annotations; it takes the manifest of an export as `sent`."""
    return partial(
        read,
        annotations,
        images=images,
        predictions=detections.predictions,
        detector=detections.made_by(),
        dataset=detections.name,
        output_of=results_reader(detections),
    )
