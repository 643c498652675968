"""The detectors in memory, and when their state is loaded in which way.

`StagesLoader` has four ways to load a detector. The first two give the state that its last epoch
left, byte for byte. The others cluster, search and score again, so its next epoch may list other
frames.

`followed`
    Other processes have closed epochs since: what these changed is applied to the tables in memory.
`recorded`
    The process starts, or starts again after an error. Or others have closed epochs, and the tables
    cannot follow: they have changes that no epoch recorded, because another process closed its
    number first, or one of the changes is missing. All changes that are recorded are read.
`read_again`
    What is in memory is known to be complete and has to be computed again: the embedding model was
    switched, frames were erased, many needles are new, or a time of growth ends. The stores are
    read, but of needles only those that epochs have consumed, so that it does not matter which
    process does this, and when.
`read`
    Nothing in memory or on record is complete: the detector is new, or what its last epoch recorded
    is missing or was made by other settings. All that the stores have is read.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from services.contracts.identity import DetectorId, ModelId
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import REGION_VECTORS, live_model
from services.domain.shortlists.epochs import Epoch, includes
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.budgets import limits_at, limits_of
from services.retriever.loading import StagesLoader
from services.retriever.publication import ShortlistPublication
from services.retriever.sources import RetrieverStores, Sources
from services.retriever.stages import DetectorStages

_READ_ONCE_GROWN: Final = "read_once_grown"
"""The key of a row of STATE that is there from the end of growth until the epoch after."""


class LoadedDetectors:
    """The stages of every detector under the live embedding model, and their last epochs.

    Several processes may close epochs of the same detectors. `follow` brings this process up to
    date with the others.

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
        """Let the next `load` read every detector again, because frames were erased."""
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
        """Bring all detectors up to date before an epoch; withdraw shortlists of retracted needles.

        Parameters
        ----------
        records : the needles of the epoch

        Returns
        -------
        The number of haystack frames, and the limits of shortlists.
        """
        model = await live_model(self._stores.vectors, REGION_VECTORS)
        if (model is None) != (self.model is None):
            self.forget()  # there is a first model, or none any more
        if self.is_read and model is not None and model == self.model:
            await self.follow()
            if _detectors_of(records) - self.stages.keys():
                # They have no epoch, so it is unknown what other processes have consumed of them.
                self._sources.forget()
        frames = 0 if model is None else await self._sources.size.haystack_frames(model)
        limits = limits_of(frames, self._sources.settings)
        if not self.is_read:
            records = await self._start(model)
        elif model is not None and (model != self.model or self._is_outdated):
            await self._read_all_again(model, limits, records)
        self.model, self._is_outdated = model, False
        if model is not None:
            for detector in sorted(_detectors_of(records) - self.stages.keys()):
                self.stages[detector] = await self._loader.read(detector, model, limits)
        await self._publication.withdraw(records)
        return frames, limits

    async def _start(self, model: ModelId | None) -> list[NeedleRecord]:
        """Load the detectors that are recorded; returns the needles of all detectors."""
        self.epochs = await self._stores.epochs.latest()
        if model is not None:
            for last in self.epochs.values():
                if (stages := await self._as_recorded(last, model)) is not None:
                    self.stages[last.detector] = stages
        self.is_read = True
        return await self._sources.needles.all()

    async def _read_all_again(
        self, model: ModelId, limits: Limits, records: Sequence[NeedleRecord]
    ) -> None:
        for detector, earlier in sorted(self.stages.items()):
            stages = await self._loader.read_again(earlier, detector, model, limits, records)
            self.stages[detector] = stages

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
            stages = await self._as_recorded(last, self.model)
            if stages is None:
                # Nothing says which needles and frames these epochs consumed, so all are read.
                limits = limits_at(last, self._sources.settings)
                stages = await self._loader.read(last.detector, self.model, limits)
            self.stages[last.detector] = stages
        return bool(closed)

    async def _as_recorded(self, last: Epoch, model: ModelId) -> DetectorStages | None:
        """A detector as its last epoch left it; None if there is no record that can be used."""
        earlier, stages = self.stages.get(last.detector), None
        if earlier is not None and earlier.closed:
            stages = await self._loader.followed(earlier, last)
        if stages is None:
            stages = await self._loader.recorded(last, model)
        if stages is not None:
            # The process that closed the epoch may have ended before it wrote these.
            await self._publication.write_missing(stages.allocator.unwritten)
        return stages

    async def read_again_if_due(
        self, epoch: Epoch, limits: Limits, records: Sequence[NeedleRecord]
    ) -> None:
        """Read a detector again before an epoch if many needles are new, or if growth ends with it.

        Families and candidates depend on the epochs in which needles and frames arrived, and the
        load of the machine decides which those are. Shortlists must not depend on it.

        Parameters
        ----------
        epoch : that is about to be closed
        records : its needles
        """
        assert self.model is not None
        detector, before = epoch.detector, self.epochs.get(epoch.detector)
        earlier = self.stages[detector]
        ends_growth = epoch.settled and before is not None and not before.settled
        if epoch.settled and not ends_growth:
            earlier.state.pop(_READ_ONCE_GROWN, None)
        # Once: the epochs after it may wait for models to be fitted.
        is_due = ends_growth and _READ_ONCE_GROWN not in earlier.state
        if not is_due and not earlier.allocator.needles.needs_clustering:
            return
        stages = await self._loader.read_again(earlier, detector, self.model, limits, records)
        if ends_growth:
            stages.state[_READ_ONCE_GROWN] = ""
        self.stages[detector] = stages


def _detectors_of(records: Collection[NeedleRecord]) -> set[DetectorId]:
    """The detectors with active needles."""
    return {
        record.needle.detector for record in records if record.active and record.needle is not None
    }
