"""The embedder and the retriever in one process, which owns their Qdrant, to be killed."""

import asyncio

from services.app.assembly import running
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import until_signalled
from services.runtime.settings_reading import load_settings


async def main() -> None:
    ending = asyncio.create_task(until_signalled())
    await asyncio.sleep(0)  # from now on it listens, also while the services start
    async with running(load_settings(), ["embedder", "retriever"]):
        await ending


if __name__ == "__main__":
    configure_logs()
    asyncio.run(main())
