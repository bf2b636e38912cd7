"""One connection of a socket: what is sent and heard on it, and what keeps it alive."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from . import protocol
from .protocol import Broken
from .session import Session

log = logging.getLogger("bulkhead_socket")

AHEAD = 16
"""Messages that are read before they are awaited."""
PING, PONG = 20.0, 20.0
"""Seconds between pings, and until a connection without a pong is given up."""


class Connection:
    """A connection that stands. ``renew`` brings a fresh token."""

    def __init__(self, socket: ClientConnection, session: Session, url: str, renew: Callable[[], Awaitable[None]]) -> None:
        chosen = socket.subprotocol or ""
        self._resumable = chosen == protocol.RESUME or chosen.startswith(protocol.RESUME + "+")
        self.protocol = chosen.removeprefix(protocol.RESUME).removeprefix("+") if self._resumable else chosen.removeprefix("bulkhead.v1")
        """The application's subprotocol."""
        self._socket, self._session, self._url, self._renew = socket, session, url, renew

    async def greeted(self) -> protocol.Welcome | None:
        """How the sidecar greets the client, where it does. Raises ``Broken`` where it should and does not."""
        if not self._resumable:
            return None
        greeting = await self._socket.recv()
        welcome = protocol.read(greeting) if isinstance(greeting, bytes) else None
        if not isinstance(welcome, protocol.Welcome):
            raise Broken("a message came before the greeting")
        return welcome

    async def serve(self, expires: float | None) -> None:
        """Sends and hears until the connection ends. ``expires`` is when the token ends by which it lives."""
        helpers = [self._write(), self._keep_alive()]
        if self._resumable:
            self._session.expires = expires
            helpers += [self._acknowledge(), self._renew_in_time()]
        running = [asyncio.create_task(_until_closed(helper)) for helper in helpers]
        # What the connection has brought is heard to the last message, whoever sees its end first.
        running.append(asyncio.create_task(self._listen()))
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            message: Any = await self._socket.recv()
            if self._resumable and isinstance(message, bytes):
                message = protocol.read(message)
                if not isinstance(message, bytes):
                    self._told(message)
                    continue
            while len(self._session.inbox) >= AHEAD and self._session.closing is None:
                await self._session.change()
            if self._session.closing is not None:
                continue
            self._session.inbox.append(message)
            if self._session.resumable is not None:
                self._session.resumable.received += 1
                self._session.resumable.owed += protocol.size_of(message)
            self._session.wake()

    def _told(self, message: protocol.Told) -> None:
        match message:
            case protocol.Ack(count):
                if self._session.resumable is not None and not self._session.outbox.acknowledge(count):
                    raise Broken("an ACK counts what was not sent")
            case protocol.Final():
                self._session.resumable = None
            case protocol.Credential(True, until):
                self._session.expires = float(until) or None
            case protocol.Credential(False, _, reason):
                log.warning("%s: the fresh token was refused: %s", self._url, reason)
            case protocol.Welcome():
                raise Broken("a second greeting")
        self._session.wake()

    async def _acknowledge(self) -> None:
        """At once, then after 32 messages, a quarter of the buffer, or a second, whichever is first."""
        told = -1
        while (session := self._session.resumable) is not None:
            told, session.owed = session.received, 0
            await self._socket.send(protocol.acknowledge(told))
            while session.received == told:
                await self._session.change()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while session.received - told < 32 and session.owed <= session.buffer / 4:
                        await self._session.change()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(PING)
            try:
                async with asyncio.timeout(PONG):
                    await (await self._socket.ping())
            except TimeoutError:
                # Where nobody takes messages, nothing is read, pongs included.
                if len(self._session.inbox) < AHEAD:
                    self._socket.transport.abort()

    async def _renew_in_time(self) -> None:
        while True:
            while (expires := self._session.expires) is None:
                await self._session.change()
            await asyncio.sleep(max(5.0, (expires - time.time()) * 0.8))
            try:
                await self._renew()
            except (OSError, TimeoutError) as error:
                log.warning("%s: no fresh token: %s", self._url, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while self._session.expires == expires:
                        await self._session.change()

    async def _write(self) -> None:
        """Sends what is held, in its order. What no session keeps is let go of once it is sent."""
        written = self._session.outbox.acknowledged
        while True:
            while (written := max(written, self._session.outbox.acknowledged)) < self._session.outbox.count:
                data = self._session.outbox.number(written + 1)
                await self._socket.send(protocol.escape(data) if self._resumable else data)
                written += 1
            if self._session.resumable is None:
                self._session.outbox.acknowledge(written)
                self._session.wake()
            if self._session.closing is not None:
                await self._socket.close(*self._session.closing)
                return
            await self._session.change()


async def _until_closed(helper: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ConnectionClosed):
        await helper
