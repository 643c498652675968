"""Restore from the export's manifest what a tool's format cannot express."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from services.contracts.events import Annotation
from services.contracts.identity import FrameId
from services.formats.corrections import on_picture
from services.formats.items import Dataset, FrameItem, Item, Located
from services.formats.readers.returned import Manifest, NamedFrame

_SAME_PX = 0.02
"""Corners closer than this are equal: CVAT rounds to .01 pixels, and nobody draws as finely."""

_KEPT = ("area", "crowd", "ignore", "mask")


def restored(dataset: Dataset, manifest: Manifest, carried: Collection[str]) -> Dataset:
    """Replace boxes and masks that came back unchanged by the annotations that were sent.

    Parameters
    ----------
    carried : the fields that the format carries. Those among `area`, `crowd`, `ignore` and `mask`
        keep the returned value, all others the sent one. A format without `bbox` has an object as
        a mask or as a box: a mask is unchanged if it equals the sent one, a box keeps the sent mask
    """
    sent = {frame.frame_id: frame for frame in manifest.frames.values()}
    left = set(sent)
    return replace(dataset, items=_items(dataset.items, sent, carried, left), left=left)


def _items(
    items: Iterable[Item],
    sent: dict[FrameId, NamedFrame],
    carried: Collection[str],
    left: set[FrameId],
) -> Iterator[Item]:
    for item in items:
        match item:
            case FrameItem():
                if item.complete and item.annotations is not None:
                    left.discard(item.frame_id)
                yield _restored(item, sent, carried)
            case _:
                yield item


def _restored(item: FrameItem, sent: dict[FrameId, NamedFrame], carried: Collection[str]) -> Item:
    before = sent.get(item.frame_id)
    if before is None or item.annotations is None:
        return item
    fit = on_picture(item, before.size)
    if not isinstance(fit, FrameItem) or fit.annotations is None:
        return fit
    return replace(fit, annotations=_annotations(fit.annotations, before.annotations, carried))


def _annotations(
    found: Sequence[Located[Annotation]], sent: Sequence[Annotation], carried: Collection[str]
) -> tuple[Located[Annotation], ...]:
    left = list(sent)
    restored_annotations = []
    for part in found:
        at = next((at for at, one in enumerate(left) if _same(part.value, one, carried)), None)
        if at is None:
            restored_annotations.append(part)
            continue
        before = left.pop(at)
        fields = {name: getattr(part.value, name) for name in _returned_fields(part.value, carried)}
        restored_annotations.append(Located(before.model_copy(update=fields), part.location))
    return tuple(restored_annotations)


def _returned_fields(one: Annotation, carried: Collection[str]) -> list[str]:
    """The fields that a returned annotation has a say in."""
    names = [name for name in _KEPT if name in carried]
    if one.mask is None and "mask" in carried and "bbox" not in carried:
        # The object was exported as a box, so its mask was not: it is empty, or not of the image's
        # size, or an earlier version exported it, which sent no masks.
        names.remove("mask")
    return names


def _same(one: Annotation, other: Annotation, carried: Collection[str]) -> bool:
    # Some tools strip the blanks around a name.
    if one.category.strip() != other.category.strip():
        return False
    if one.mask is not None and "bbox" not in carried:
        return one.mask == other.mask
    corners = zip(_corners(one), _corners(other), strict=True)
    return all(abs(a - b) <= _SAME_PX for a, b in corners)


def _corners(annotation: Annotation) -> tuple[float, ...]:
    x, y, width, height = annotation.bbox
    return x, y, x + width, y + height
