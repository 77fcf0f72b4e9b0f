"""A router that ends a connection before it has answered, as some do while they take up another configuration: a look is made once more,
a change is not.

Seen to fail without the second look.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quarterdeck.backends.routers.haproxy.runtime import Runtime
from quarterdeck.backends.routers.http import request
from quarterdeck.backends.routers.reach import BrokenOff, LocalReach

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@asynccontextmanager
async def breaking_off(times: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Where it listens, and what it was asked: so many connections are reset unanswered."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1000))
        if len(asked) <= times:
            its: socket.socket = writer.get_extra_info("socket")
            its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        writer.write(ANSWER if b"HTTP/" in asked[-1] else b"as it is\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_a_look_is_made_once_more() -> None:
    reach = LocalReach("edge")
    async with breaking_off(1) as (place, asked):
        assert await Runtime(reach, place).ask("show stat", "read", deadline=30) == "as it is\n"
        assert asked == [b"show stat\n"] * 2
    async with breaking_off(1) as (place, asked):
        assert await request(reach, place, "/config/", "read", deadline=30) == (200, b"{}")
        assert len(asked) == 2
    async with breaking_off(2) as (place, asked):
        with pytest.raises(BrokenOff, match="broke off in the middle"):
            await Runtime(reach, place).ask("show stat", "read", deadline=30)
        assert len(asked) == 2


async def test_a_change_is_not() -> None:
    reach = LocalReach("edge")
    async with breaking_off(1) as (place, asked):
        with pytest.raises(BrokenOff, match="is not known"):
            await Runtime(reach, place).change(["set server a/b state drain"], "take b out", deadline=30)
        assert len(asked) == 1
    async with breaking_off(1) as (place, asked):
        with pytest.raises(BrokenOff):
            await request(reach, place, "/id/api", "change", method="PATCH", body=b"{}", deadline=30)
        assert len(asked) == 1
