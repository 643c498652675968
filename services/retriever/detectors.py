"""The detectors in memory: as their last epochs recorded them, or read from the stores."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from services.contracts.events import ShortlistPublished
from services.contracts.identity import DetectorId, ModelId
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import REGION_VECTORS, live_model
from services.domain.shortlists.epochs import Epoch, includes
from services.domain.shortlists.scored_candidates import Limits
from services.retriever import logic
from services.retriever.allocation.budgets import limits_of
from services.retriever.loading import StagesLoader
from services.retriever.publication import ShortlistPublication
from services.retriever.sources import RetrieverStores, Sources
from services.retriever.stages import Changes, DetectorStages

_READ_ONCE_GROWN: Final = "read_once_grown"
"""The key of a row of STATE that is there from the end of growth until the epoch after."""


class LoadedDetectors:
    """The stages of every detector under the live embedding model, and their last epochs.

    Several processes may close epochs of the same detectors. `follow` and `take_over` bring this
    process up to date with the others.

    Attributes
    ----------
    is_read : whether the stores were read; there are no detectors before
    stages : by detector
    epochs : the last epoch of each detector that has closed one, whichever process closed it
    model : the embedding model of the stages; None if there is none yet
    """

    def __init__(
        self,
        stores: RetrieverStores,
        sources: Sources,
        loader: StagesLoader,
        publication: ShortlistPublication,
    ) -> None:
        self._stores = stores
        self._sources = sources
        self._loader = loader
        self._publication = publication
        self.is_read = False
        self.stages: dict[DetectorId, DetectorStages] = {}
        self.epochs: dict[DetectorId, Epoch] = {}
        self.model: ModelId | None = None
        self._is_outdated = False

    def forget(self) -> None:
        """Drop everything: the next `load` reads what is recorded."""
        self._sources.forget()
        self.is_read, self.stages = False, {}

    def mark_outdated(self) -> None:
        """Let the next `load` read every detector from the stores instead of from its record."""
        self._sources.forget()
        self._is_outdated = True

    def held(self) -> set[DetectorId]:
        """The detectors whose last epoch held frames back, because much was new.

        This includes detectors that were read from the stores and have closed no epoch since.
        """
        return {
            detector
            for detector, stages in self.stages.items()
            if not stages.closed or not self.epochs[detector].settled
        }

    def is_again(self, detector: DetectorId, consumed: Mapping[str, range]) -> bool:
        """Whether the batch is delivered again, and all is known that its epoch has recorded."""
        last = self.epochs.get(detector)
        if last is None or self.stages[detector].closed != last.number:
            return False
        return includes(last, consumed)

    def note_closed(self, epoch: Epoch) -> None:
        """Note an epoch that this process has closed and recorded."""
        self.epochs[epoch.detector] = epoch
        self.stages[epoch.detector].closed = epoch.number

    async def load(self, records: Sequence[NeedleRecord]) -> tuple[int, Limits]:
        """Load the detectors that are missing or outdated.

        Parameters
        ----------
        records : the needles of the epoch

        Returns
        -------
        The number of haystack frames, and the limits of shortlists.
        """
        model = await live_model(self._stores.vectors, REGION_VECTORS)
        if self.is_read and model is not None and model == self.model:
            await self.follow()
            if _detectors_of(records) - self.stages.keys():
                # They have no epoch, so it is unknown what other processes have consumed of them.
                self._sources.forget()
        frames = 0 if model is None else await self._sources.size.haystack_frames(model)
        limits = limits_of(frames, self._sources.settings)
        await self._publication.write(await self._load_missing(records, model, limits))
        return frames, limits

    async def _load_missing(
        self,
        records: Sequence[NeedleRecord],
        model: ModelId | None,
        limits: Limits,
    ) -> list[ShortlistPublished]:
        """Load the detectors that are missing; returns shortlists that retractions empty."""
        outdated: dict[DetectorId, DetectorStages] = {}
        if not self.is_read:
            self.epochs = await self._stores.epochs.latest()
            self.stages = {} if model is None else await self._recorded(model)
            self.is_read = True
            records = await self._sources.needles.all()
        elif model != self.model or self._is_outdated:
            outdated, self.stages = self.stages, {}
            records = [*records, *await self._sources.needles.all()]
        self.model, self._is_outdated = model, False
        if model is not None:
            wanted = _detectors_of(records) | outdated.keys()
            for detector in sorted(wanted - self.stages.keys()):
                earlier = outdated.get(detector)
                self.stages[detector] = await self._loader.read(
                    detector, model, limits, earlier, records
                )
        return _withdrawn({record.needle_id: record for record in records}.values())

    async def _recorded(self, model: ModelId) -> dict[DetectorId, DetectorStages]:
        """The detectors whose last epoch recorded their state."""
        found = {
            detector: await self._read_again(last, model) for detector, last in self.epochs.items()
        }
        return {detector: stages for detector, stages in found.items() if stages is not None}

    async def follow(self) -> bool:
        """Take over the epochs that other processes have closed; returns whether there are any."""
        if self.model is None:
            return False
        before, self.epochs = self.epochs, await self._stores.epochs.latest()
        closed = [
            last
            for detector, last in sorted(self.epochs.items())
            if detector not in before or last.number != before[detector].number
        ]
        for last in closed:
            limits = limits_of(last.sizes[-1].haystack, self._sources.settings)
            stages = await self._read_again(last, self.model, self.stages.get(last.detector))
            if stages is None:
                # Nothing says which needles and frames these epochs consumed, so all are read.
                stages = await self._loader.read(last.detector, self.model, limits)
            self.stages[last.detector] = stages
        return bool(closed)

    async def take_over(self, detector: DetectorId, limits: Limits) -> None:
        """Take over the epoch whose number another process has closed meanwhile."""
        assert self.model is not None
        self.epochs[detector] = (await self._stores.epochs.latest())[detector]
        # Its tables have changes that are not recorded, so they are read again.
        stages = await self._read_again(self.epochs[detector], self.model)
        if stages is None:
            stages = await self._loader.read(detector, self.model, limits)
        self.stages[detector] = stages

    async def _read_again(
        self, last: Epoch, model: ModelId, earlier: DetectorStages | None = None
    ) -> DetectorStages | None:
        """A detector as its last epoch recorded it; None if it has to be read from the stores.

        Parameters
        ----------
        earlier : as an earlier epoch left it
        """
        limits = limits_of(last.sizes[-1].haystack, self._sources.settings)
        stages = None
        if earlier is not None and earlier.closed:
            stages = await self._loader.followed(earlier, last, limits)
        if stages is None:
            self._sources.forget()
            stages = await self._loader.recorded(last, model, limits)
        if stages is not None:
            # The process that closed the epoch may have ended before it wrote these.
            await self._publication.write_missing(stages.allocator.unwritten)
        return stages

    async def read_again_if_due(self, epoch: Epoch, limits: Limits, changes: Changes) -> None:
        """Read a detector from the stores again before an epoch that is to be closed.

        Due when there are so many more needles that all are clustered again, and at the end of a
        time of growth: families and candidates depend on the epochs in which needles and frames
        arrived, and the load of the machine decides which those are. Shortlists must not depend on
        it.
        """
        assert self.model is not None
        detector, before = epoch.detector, self.epochs.get(epoch.detector)
        earlier = self.stages[detector]
        has_grown = epoch.settled and before is not None and not before.settled
        if epoch.settled and not has_grown:
            earlier.state.pop(_READ_ONCE_GROWN, None)
        # Once: the epochs after it may wait for models to be fitted.
        is_due = has_grown and _READ_ONCE_GROWN not in earlier.state
        if is_due or earlier.allocator.needles.needs_clustering:
            stages = await self._loader.read(detector, self.model, limits, earlier, changes.records)
            if has_grown:
                stages.state[_READ_ONCE_GROWN] = ""
            self.stages[detector] = stages


def _withdrawn(records: Collection[NeedleRecord]) -> list[ShortlistPublished]:
    withdrawn = [logic.withdrawn(record) for record in records if not record.active]
    return [shortlist for shortlist in withdrawn if shortlist is not None]


def _detectors_of(records: Collection[NeedleRecord]) -> set[DetectorId]:
    """The detectors with active needles."""
    return {
        record.needle.detector for record in records if record.active and record.needle is not None
    }
