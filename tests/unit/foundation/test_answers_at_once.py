"""What a server has to say leaves at once, and doesn't wait for the peer to say that it has the beginning."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from wardround.foundation.listening import bound_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_to_our_servers_isnt_delayed(host: str) -> None:
    async def delayed() -> bool:
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def met(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected = writer.get_extra_info("socket")
            found.set_result(not connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server = await asyncio.start_server(met, sock=bound_socket(host, 0))
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            try:
                return await found
            finally:
                writer.close()

    # In a thread of its own: a browser that other tests drive keeps a loop in this one.
    with ThreadPoolExecutor(1) as beside:
        assert not beside.submit(asyncio.run, delayed()).result()


def test_an_address_that_is_taken_is_said_to_be() -> None:
    with bound_socket("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bound_socket("127.0.0.1", first.getsockname()[1])
