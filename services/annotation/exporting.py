"""Choose frames for an export, and write them to a folder."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from services.annotation.decisions import review_of
from services.annotation.export_choice import What
from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.ports.region_shortlists import RegionShortlist
from services.annotation.ports.reviews import Act
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import InvalidRecord
from services.contracts.events import Split
from services.contracts.identity import DriveId, FrameId, RegionId
from services.domain.chunks import chunks
from services.domain.derived_tags import has_tags
from services.domain.metrics.slice_pairs import Tag
from services.domain.ports.needles import NeedleRecord
from services.domain.redaction import HiddenImage, ShownImage
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, IMAGES, manifest
from services.formats.writers.frames import Export, ExportFrame, Proposal, stem_of
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages

_PAGE = 500
MANIFEST = "manifest.json"
CONFIRMED_WEIGHT = 3
"""Weight in a training set of a frame with a confirmed failure."""


@dataclass(frozen=True)
class Written:
    """The counts of a written export."""

    export: Export
    images: int


async def chosen_frames(
    stores: AnnotationStores,
    what: What,
    wanted: NeedleFilter,
    tags: frozenset[Tag] = frozenset(),
) -> list[ExportFrame]:
    """The frames of these needles with their proposals, sorted by id.

    Parameters
    ----------
    wanted : selects needles; ignored for `ANNOTATED`, which is every annotated frame
    tags : that the frames have

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    proposals: dict[FrameId, dict[RegionId, Proposal]] = defaultdict(dict)
    if what is What.ANNOTATED:
        ids: Iterable[FrameId] = await stores.frame_ids.annotated()
    else:
        accepted = await accepted_regions(stores) if what is What.ACCEPTED else None
        for record in await _needles(stores, wanted):
            for frame_id, proposal in _proposals(record, what):
                if accepted is None or proposal.region_id in accepted:
                    proposals[frame_id].setdefault(proposal.region_id, proposal)
        ids = sorted(proposals)
    return await _frames(stores, list(ids), proposals, tags)


async def named_frames(
    stores: AnnotationStores,
    proposals: Mapping[FrameId, Mapping[RegionId, Proposal]],
    tags: frozenset[Tag] = frozenset(),
) -> list[ExportFrame]:
    """These frames with these proposals, sorted by id; unknown ones are left out.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    return await _frames(stores, sorted(proposals), proposals, tags)


def proposals_of(shortlist: RegionShortlist) -> dict[FrameId, dict[RegionId, Proposal]]:
    """The frames of a circled shortlist, with its regions as proposals."""
    found: defaultdict[FrameId, dict[RegionId, Proposal]] = defaultdict(dict)
    for item in shortlist.regions:
        found[item.frame_id][item.region_id] = Proposal(
            item.region_id, item.category, item.score, item.bbox, item.needle
        )
    return dict(found)


async def shortlist_units(
    stores: AnnotationStores, wanted: NeedleFilter
) -> dict[str, list[ExportFrame]]:
    """The frames of each needle's shortlist, by a permanent name.

    A frame has all its proposals, of any of these needles.
    """
    records = await _needles(stores, wanted)
    return await _units(stores, {f"shortlist {record.needle_id}": [record] for record in records})


async def family_units(
    stores: AnnotationStores, wanted: NeedleFilter
) -> dict[str, list[ExportFrame]]:
    """The frames of each family's shortlists; needles without a family form their own unit."""
    named: dict[str, list[NeedleRecord]] = {}
    groups = await stores.needle_lists.groups()
    for family in sorted({group.family for group in groups if group.family}):
        if found := await _needles(stores, replace(wanted, family=family)):
            named[f"family {family}"] = found
    members = {record.needle_id for records in named.values() for record in records}
    alone = [needle for needle in await _needles(stores, wanted) if needle.needle_id not in members]
    named |= {f"shortlist {record.needle_id}": [record] for record in alone}
    return await _units(stores, named)


async def known_frames(stores: AnnotationStores, stems: Collection[str]) -> list[ExportFrame]:
    """The current frames whose images have these names in an export."""
    ids = [frame_id for frame_id in await stores.frame_ids.captured() if stem_of(frame_id) in stems]
    return await _frames(stores, ids, {})


async def _units(
    stores: AnnotationStores, named: Mapping[str, Sequence[NeedleRecord]]
) -> dict[str, list[ExportFrame]]:
    proposals: dict[FrameId, dict[RegionId, Proposal]] = defaultdict(dict)
    ids: dict[str, dict[FrameId, None]] = {name: {} for name in named}
    for name, records in named.items():
        for record in records:
            for frame_id, proposal in _proposals(record, What.SHORTLISTED):
                proposals[frame_id].setdefault(proposal.region_id, proposal)
                ids[name][frame_id] = None
    frames = {
        frame.frame_id: frame for frame in await _frames(stores, sorted(proposals), proposals)
    }
    return {
        name: [frames[frame_id] for frame_id in frame_ids if frame_id in frames]
        for name, frame_ids in ids.items()
    }


@dataclass(frozen=True)
class TrainingFrames:
    """Frames for training a detector, and the counts of left out haystack frames by reason.

    Partially annotated frames are left out, because their missing objects would train the detector
    as background; copies are left out, because their originals may be in the reference.
    """

    frames: list[ExportFrame]
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, frames: Iterable[ExportFrame], settings: Settings) -> Self:
        """Select from the annotated frames of the haystack."""
        kept: list[ExportFrame] = []
        left_out: Counter[str] = Counter()
        for frame in frames:
            if frame.is_copy and not settings.count_copies:
                left_out["copies"] += 1
            elif not frame.complete:
                left_out["annotated in part"] += 1
            else:
                kept.append(frame)
        return cls(kept, left_out)


async def training_set(stores: AnnotationStores, settings: Settings) -> TrainingFrames:
    """The training set: annotated frames, without the reference.

    A frame is held out if the settings or its stored match say that it is reference: services of a
    cluster may have split it by other settings than this command has.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    accepted = await accepted_regions(stores)
    confirmed = {
        frame_id
        for record in await _needles(stores, NeedleFilter())
        for frame_id, proposal in _proposals(record, What.SHORTLISTED)
        if proposal.region_id in accepted
    }
    frames = await _frames(stores, await stores.frame_ids.annotated(), {})
    held_out = await stores.matches.reference_frames()
    haystack = (
        replace(frame, weight=CONFIRMED_WEIGHT) if frame.frame_id in confirmed else frame
        for frame in frames
        if frame.frame_id not in held_out and _split(frame, settings) is Split.HAYSTACK
    )
    return TrainingFrames.of(haystack, settings)


async def training_frames(stores: AnnotationStores, settings: Settings) -> list[ExportFrame]:
    """The frames of `training_set`."""
    return (await training_set(stores, settings)).frames


async def accepted_regions(stores: AnnotationStores) -> set[RegionId]:
    """Every candidate that an annotator has accepted."""
    found: set[RegionId] = set()
    async for events in stores.reviews.by_needle():
        decisions = review_of(events).decisions
        found |= {region for region, decision in decisions.items() if decision.act is Act.ACCEPT}
    return found


@as_the_user_writes()
def write_export(
    frames: Sequence[ExportFrame],
    form: Format,
    folder: Path,
    shown: Mapping[FrameId, ShownImage],
    images: ShownImages | None,
    *,
    left_out: Mapping[str, int] | None = None,
    **facts: object,
) -> Written:
    """Write an export into a folder that is empty or does not exist; blocks.

    Parameters
    ----------
    shown : the frames' images, which are read from `images`, if given
    left_out : counts of frames left out before, reported with the format's losses

    Raises
    ------
    InvalidRecord
        `folder_in_use`: the folder is not empty.
    MissingImage, StoreUnavailable
        An image cannot be read.
    """
    require_empty(folder)
    export = EXPORTERS[form](frames)
    export = replace(export, losses={**export.losses, **(left_out or {})})
    files = {**export.files, MANIFEST: manifest(export, format=form.value, **facts)}
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    if images is not None:
        target = folder / IMAGES[form]
        target.mkdir(parents=True, exist_ok=True)
        for frame in export.frames:
            (target / frame.file_name).write_bytes(images.content(shown[frame.frame_id]))
    return Written(export, len(export.frames) if images is not None else 0)


def require_empty(folder: Path) -> None:
    """Check that an export may be written to this folder.

    Raises
    ------
    InvalidRecord
        `folder_in_use`: it is not empty, or no folder.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            detail = f"{folder} is not empty: name another folder"
            raise InvalidRecord(detail, reason="folder_in_use")
    elif folder.exists() or folder.is_symlink():
        # A link to what does not exist is not followed: nobody said where to.
        detail = f"{folder} is a file or a broken link: name another folder"
        raise InvalidRecord(detail, reason="folder_in_use")


async def shown_images(
    stores: AnnotationStores, frames: Sequence[ExportFrame], images: ShownImages
) -> dict[FrameId, ShownImage]:
    """What these frames' images show; frames whose images are hidden are left out."""
    found = {}
    for chunk in chunks(frames, _PAGE):
        ids = [frame.frame_id for frame in chunk]
        for record in (await stores.frames.load(ids)).values():
            if record.captured is not None:
                with suppress(HiddenImage):
                    found[record.frame_id] = images.of_frame(record)
    return found


async def _needles(stores: AnnotationStores, wanted: NeedleFilter) -> list[NeedleRecord]:
    records: list[NeedleRecord] = []
    page, last = stores.needle_lists.page, None
    while rows := await page(wanted, Sort.OLDEST, limit=_PAGE, after=last):
        found = await stores.needles.load([row.needle.needle_id for row in rows])
        records += [found[row.needle.needle_id] for row in rows if row.needle.needle_id in found]
        # Not by their number: needles are found and retracted meanwhile, or cannot be read.
        last = rows[-1].needle
    return records


def _proposals(record: NeedleRecord, what: What) -> list[tuple[FrameId, Proposal]]:
    needle = record.needle
    if needle is None:
        return []
    if what is What.NEEDLES:
        own = Proposal(
            needle.region_id, needle.category, needle.score, needle.bbox, record.needle_id
        )
        return [(needle.frame_id, own)]
    candidates = record.shortlist.candidates if record.shortlist else ()
    return [
        (
            candidate.frame_id,
            Proposal(
                candidate.region_id,
                candidate.category,
                candidate.score,
                candidate.bbox,
                record.needle_id,
            ),
        )
        for candidate in candidates
        if what is not What.DRAWN or candidate.sampling is not None
    ]


async def _frames(
    stores: AnnotationStores,
    ids: Sequence[FrameId],
    proposals: Mapping[FrameId, Mapping[RegionId, Proposal]],
    tags: frozenset[Tag] = frozenset(),
) -> list[ExportFrame]:
    frames: list[ExportFrame] = []
    for chunk in chunks(ids, _PAGE):
        records = await stores.frames.load(chunk)
        truths = await stores.corrections.latest_truths(records.values())
        for frame_id, record in records.items():
            if record.captured is not None and has_tags(record.captured, tags):
                regions = tuple(proposals.get(frame_id, {}).values())
                frame = ExportFrame.of(record.captured, truths.get(frame_id), regions)
                frames.append(replace(frame, is_copy=record.is_copy))
    return sorted(frames, key=lambda frame: frame.frame_id)


def _split(frame: ExportFrame, settings: Settings) -> Split:
    drive_id = frame.drive_id
    return settings.split_rule.split_of(
        frame.frame_id, None if drive_id is None else DriveId(drive_id)
    )
