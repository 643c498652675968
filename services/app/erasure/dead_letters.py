"""Dead letters that name erased frames."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Sequence

import orjson

from services.contracts.identity import FrameId
from services.domain.dead_letters import Letter
from services.runtime.clock import Clock
from services.runtime.kafka.dead_letters import RecordOutbox, erase

_OF_AN_ID = rb"\w+#=~%&$*^|\x80-\xff"
_WITHIN_AN_ID = rb"./:@-"
"""Characters that continue an id: `drive/1` is no mention of `drive/12`, nor of `drive`. In a
sentence, one of these may follow an id: `drive/1: too large`."""


class DeadLetterTraces:
    """Dead letters that name frames in their record, its key or the error's text.

    They are read once, because each of them has to be checked.

    Parameters
    ----------
    read : reads all dead letters, blocking
    """

    name = "dead letters"

    def __init__(
        self, read: Callable[[], list[Letter]], outbox: RecordOutbox, clock: Clock
    ) -> None:
        self._read = read
        self._outbox = outbox
        self._clock = clock
        self._letters: Sequence[Letter] | None = None

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return len(await self._naming(frame_ids))

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        await erase(await self._naming(frame_ids), self._outbox, self._clock.now())

    async def _naming(self, frame_ids: Collection[FrameId]) -> list[Letter]:
        if self._letters is None:
            self._letters = await asyncio.to_thread(self._read)
        mention = mention_of(frame_ids)
        return [letter for letter in self._letters if _names(letter, mention)]


def mention_of(frame_ids: Collection[FrameId]) -> re.Pattern[bytes]:
    """A pattern that finds any of these ids in a text, in JSON too, escaped to ASCII or not."""
    forms = {frame_id.encode() for frame_id in frame_ids}
    for encoded in (orjson.dumps, json.dumps):
        forms |= {_as_bytes(encoded(frame_id))[1:-1] for frame_id in frame_ids}
    any_form = b"|".join(re.escape(form) for form in sorted(forms)) or rb"(?!)"
    before = rb"(?<![" + _OF_AN_ID + _WITHIN_AN_ID + rb"])"
    after = rb"(?![" + _OF_AN_ID + rb"]|\\u|[" + _WITHIN_AN_ID + rb"]++(?!\s|$))"
    return re.compile(before + rb"(?:" + any_form + rb")" + after)


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _names(letter: Letter, mention: re.Pattern[bytes]) -> bool:
    return any(
        mention.search(text)
        for failure in letter.failures
        for text in (failure.original_key, failure.original_value, failure.detail.encode())
    )
