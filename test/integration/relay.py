"""A relay for a name server that binds only addresses an interface has: BIND cannot listen on 127.67.0.1 by itself.
What comes to the given addresses, UDP and TCP, goes on to one port of 127.0.0.1, byte by byte."""

import asyncio
import threading


class Relay:
    """`routes`: {address: port of 127.0.0.1}; all listen on `port`."""

    def __init__(self, port, routes):
        self.port, self.routes = port, routes
        self.loop = asyncio.new_event_loop()
        self.is_up = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.is_up.wait(20) and self.failure is None, self.failure

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._listen())
        except OSError as error:
            self.failure = error
        self.is_up.set()
        if self.failure is None:
            self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _listen(self):
        for address, target in self.routes.items():
            await self.loop.create_datagram_endpoint(lambda to=target: _Front(self.loop, to), (address, self.port))
            await asyncio.start_server(lambda reader, writer, to=target: self._stream(reader, writer, to), address,
                                       self.port)

    async def _stream(self, reader, writer, target):
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", target)
        try:
            await asyncio.gather(_copy(reader, back_writer), _copy(back_reader, writer))
        except ConnectionError:
            pass
        finally:
            back_writer.close()
            writer.close()


async def _copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class _Front(asyncio.DatagramProtocol):
    """Each query gets a socket of its own towards the server, so that answers find their asker."""

    def __init__(self, loop, target):
        self.loop, self.target, self.transport = loop, target, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.loop.create_task(self._ask(data, peer))

    async def _ask(self, data, peer):
        await self.loop.create_datagram_endpoint(lambda: _Back(self.transport, data, peer),
                                                 remote_addr=("127.0.0.1", self.target))


class _Back(asyncio.DatagramProtocol):
    def __init__(self, front, data, peer):
        self.front, self.data, self.peer, self.transport = front, data, peer, None

    def connection_made(self, transport):
        self.transport = transport
        transport.sendto(self.data)

    def datagram_received(self, data, peer):
        self.front.sendto(data, self.peer)
        self.transport.close()

    def error_received(self, error):
        self.transport.close()
