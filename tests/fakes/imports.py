from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.contracts.identity import DetectorId, FrameId, ImportId
from services.domain.ports.imports import ImportItem, ImportRun, ImportSummary, Undo


class InMemoryImports:
    def __init__(self) -> None:
        self._runs: dict[ImportId, ImportRun] = {}
        self._items: dict[ImportId, dict[str, ImportItem]] = {}
        self._undos: dict[str, tuple[Undo, bool]] = {}
        self._undone: dict[FrameId, str] = {}

    async def begin(self, run: ImportRun) -> None:
        self._runs.setdefault(run.import_id, run)

    async def note(self, import_id: ImportId, items: Sequence[ImportItem]) -> None:
        noted = self._items.setdefault(import_id, {})
        for item in items:
            key = f"{item.part} {item.frame_id} {item.detector or ''}"
            before = noted.setdefault(key, item)
            if item.revision == before.revision + 1:
                noted[key] = replace(item, previous=before.previous)
            elif item.revision > before.revision:
                noted[key] = item

    async def run(self, import_id: ImportId) -> ImportRun | None:
        return self._runs.get(import_id)

    async def all(self) -> Sequence[ImportSummary]:
        summaries = []
        for run in sorted(self._runs.values(), key=lambda run: run.at, reverse=True):
            parts = [item.part for item in self._items.get(run.import_id, {}).values()]
            undo, finished = self._undos.get(run.import_id, (None, False))
            undone_at = undo.at if undo and finished else None
            summaries.append(
                ImportSummary(run, {part: parts.count(part) for part in parts}, undone_at)
            )
        return summaries

    async def items_after(
        self, import_id: ImportId, after: str, limit: int
    ) -> tuple[Sequence[ImportItem], str]:
        noted = self._items.get(import_id, {})
        keys = sorted(key for key in noted if key > after)[:limit]
        return [noted[key] for key in keys], keys[-1] if keys else after

    async def request(self, undo: Undo) -> None:
        before = self._undos.get(undo.target)
        if before is None or before[1]:
            self._undos[undo.target] = undo, False

    async def pass_over(self, undone: Sequence[ImportItem]) -> None:
        for gone in undone:
            for noted in self._items.values():
                for key, item in noted.items():
                    before = item.previous
                    parts = [(one.part, one.frame_id, one.detector) for one in (item, gone)]
                    same = parts[0] == parts[1]
                    if same and before is not None and before.revision == gone.revision:
                        noted[key] = replace(item, previous=gone.previous)

    async def undo_of(self, target: ImportId | DetectorId) -> Undo | None:
        return self._undos[target][0] if target in self._undos else None

    async def unfinished(self) -> Sequence[Undo]:
        found = [undo for undo, finished in self._undos.values() if not finished]
        return sorted(found, key=lambda undo: undo.at)

    async def advance(self, undo: Undo) -> None:
        self._undos[undo.target] = undo, False

    async def finish(self, undo: Undo) -> None:
        self._undos[undo.target] = replace(undo, after=""), True

    async def mark_undone(self, frame_ids: Collection[FrameId], tag: str) -> None:
        self._undone |= dict.fromkeys(frame_ids, tag)

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        return {name: self._undone[name] for name in frame_ids if name in self._undone}
