"""A server that seems far away: bytes pass through a loopback port, each way half a round trip late."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["far_away"]

_CHUNK = 1 << 16


@contextmanager
def far_away(port: int, round_trip_ms: float) -> Iterator[int]:
    """A port that leads to ``port`` on this machine, ``round_trip_ms`` milliseconds away."""
    loop = asyncio.new_event_loop()
    listening: list[int] = []
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(lambda r, w: _passed_on(r, w, port, round_trip_ms / 2000), "127.0.0.1", 0)
        listening.append(server.sockets[0].getsockname()[1])
        ready.set()
        await over.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield listening[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, one_way_s: float) -> None:
    with suppress(asyncio.CancelledError, ConnectionError):
        await asyncio.sleep(2 * one_way_s)  # a connection takes a round trip to be made
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_late(reader, back, one_way_s), _late(there, writer, one_way_s), return_exceptions=True)


async def _late(source: asyncio.StreamReader, target: asyncio.StreamWriter, one_way_s: float) -> None:
    """Each chunk arrives so much later, and none waits for the one before it."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due_s, data = await waiting.get()
            await asyncio.sleep(due_s - loop.time())
            if not data:
                break
            target.write(data)
            await target.drain()
        target.close()

    delivering = asyncio.ensure_future(deliver())
    data = b"."
    while data:
        with suppress(ConnectionError):
            data = await source.read(_CHUNK)
        waiting.put_nowait((loop.time() + one_way_s, data))
    await delivering
