"""Proxies between the services and their stores, which make the network as bad as a test wants."""

import asyncio
import random
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 65_536


@dataclass
class Weather:
    """What connections through a proxy suffer.

    Attributes
    ----------
    delay_s : how long each reply takes on top
    stalled : whether bytes stay underway; connections remain open
    refused : whether connections are closed at once
    cut : the share of replies of which half arrives, before the connection ends
    answer : what each request gets instead of a reply; empty for none
    """

    delay_s: float = 0.0
    stalled: bool = False
    refused: bool = False
    cut: float = 0.0
    answer: bytes = b""


@dataclass
class Proxy:
    """Forwards the connections to one port of a host."""

    target: int
    host: str = "127.0.0.1"
    port: int = 0
    weather: Weather = field(default_factory=Weather)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    async def listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        """Abort all connections, with a reset."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather.refused:
            writer.transport.abort()
            return
        try:
            upstream, upwriter = await asyncio.open_connection(self.host, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upwriter}
        pumps = (self._pump(reader, upwriter, writer), self._pump(upstream, writer))
        await asyncio.gather(*pumps, return_exceptions=True)
        self._writers -= {writer, upwriter}
        for end in (writer, upwriter):
            end.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        requester: asyncio.StreamWriter | None = None,
    ) -> None:
        while data := await source.read(_CHUNK):
            while self.weather.stalled:  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0.05)
            if requester is not None and self.weather.answer:
                requester.write(self.weather.answer)
                await requester.drain()
                requester.close()
                break
            if requester is None:
                await asyncio.sleep(self.weather.delay_s)
                if self._rng.random() < self.weather.cut:
                    sink.write(data[: len(data) // 2])
                    await sink.drain()
                    break
            sink.write(data)
            await sink.drain()
        sink.close()


class Proxies:
    """Proxies in a thread of their own, as services and their stores are others' processes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._every: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def before(self, port: int, host: str = "127.0.0.1") -> Proxy:
        """A proxy before this port, which listens on loopback."""
        proxy = Proxy(port, host)
        listening: Future[None] = asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop)
        listening.result(120)
        self._every.append(proxy)
        return proxy

    def reset(self, *proxies: Proxy) -> None:
        """Abort their connections."""
        for proxy in proxies:
            self._loop.call_soon_threadsafe(proxy.reset)

    def clear(self) -> None:
        """Good weather for all, with new connections."""
        for proxy in self._every:
            proxy.weather = Weather()
        self.reset(*self._every)
