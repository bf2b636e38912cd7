"""The socket: connections one after another, and what goes from one to the next."""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from . import protocol
from .protocol import Broken, Outbox

Data = str | bytes
log = logging.getLogger("bulkhead_socket")

AHEAD = 16
"""Messages that are read before they are awaited."""
PING, PONG = 20.0, 20.0
"""Seconds between pings, and until a connection without a pong is given up."""


class Lost(Exception):
    """The socket goes on as a new one: messages of the application may be missing, and own ones.

    ``arrived`` says how many own messages of the lost session arrived, where that is known; ``pending`` are those not known to have arrived,
    oldest first, as far as they were kept (those given to a plain socket are not).
    """

    def __init__(self, reason: str, arrived: int | None, pending: list[Data]) -> None:
        super().__init__(f"the session is lost: {reason}")
        self.reason, self.arrived, self.pending = reason, arrived, pending


class Closed(Exception):
    """The socket has ended, and does not come back. ``pending`` as in ``Lost``."""

    def __init__(self, code: int, reason: str, pending: list[Data]) -> None:
        super().__init__(f"closed with {code}: {reason}" if reason else f"closed with {code}")
        self.code, self.reason, self.pending = code, reason, pending


@dataclass
class _Session:
    """What a connection must know to take up the one before."""

    token: str
    buffer: int
    received: int
    owed: int = 0
    """Bytes received since the last ACK."""


class BulkheadSocket:
    """A WebSocket that outlives its connections. Use it with ``async with``; every option but ``url`` may be left out.

    ``token`` fetches an access token for each connection, and to renew it. ``on_lost`` is told of a lost session; without it, ``Lost`` is
    raised where messages are awaited, between the last one of the old session and the first one of the new. ``max_buffered`` bytes of own
    messages may wait, then ``send`` does. ``backoff`` in seconds: the wait before an attempt to come back is random, below the first number
    for the first attempt, doubled for each further one up to the second. Further options go to ``websockets``' ``connect``.
    """

    def __init__(
        self,
        url: str,
        *,
        protocols: Sequence[str] = (),
        token: Callable[[], str | Awaitable[str]] | None = None,
        on_lost: Callable[[Lost], None] | None = None,
        on_resumed: Callable[[], None] | None = None,
        max_buffered: int = 1 << 20,
        backoff: tuple[float, float] = (0.5, 30.0),
        **options: Any,
    ) -> None:
        self.url = url
        self.protocol = ""
        """The application's subprotocol."""
        self.connected = asyncio.Event()
        """Set while a connection stands."""
        self._protocols, self._token, self._on_lost, self._on_resumed = protocols, token, on_lost, on_resumed
        self._max_buffered, self._backoff = max_buffered, backoff
        self._options = {"max_size": None, **options, "ping_interval": None}
        self._connection: ClientConnection | None = None
        self._session: _Session | None = None
        self._outbox = Outbox()
        self._changed = asyncio.Event()
        self._inbox: deque[Data | Lost] = deque()
        self._expires: float | None = None
        self._ended: Closed | None = None
        self._closing: tuple[int, str] | None = None
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._live())
        opened = asyncio.create_task(self.connected.wait())
        await asyncio.wait([self._task, opened], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self._task.done():
            self._task.result()
        if self._ended is not None:
            raise self._ended
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def buffered(self) -> int:
        """Bytes of own messages that are not known to have arrived."""
        return self._outbox.bytes

    @property
    def resumable(self) -> bool:
        """Whether what is sent and heard now survives the connection."""
        return self._session is not None

    async def send(self, data: Data) -> None:
        """Sends a message, or holds it while no connection stands; waits for room above ``max_buffered``.

        Raises ``Closed`` when the socket has ended.
        """
        while self._outbox.bytes and self._outbox.bytes + protocol.size_of(data) > self._max_buffered and self._ended is None:
            await self._change()
        if self._ended is not None:
            raise self._ended
        if self._closing is not None:
            raise Closed(*self._closing, pending=[])
        self._outbox.hold(data)
        self._wake()

    async def recv(self) -> Data:
        """The next message of the application's. Raises ``Closed`` at the end, and ``Lost`` where no ``on_lost`` was given."""
        while not self._inbox and self._ended is None:
            await self._change()
        if not self._inbox:
            raise self._ended or Closed(1006, "", [])
        message = self._inbox.popleft()
        self._wake()
        if isinstance(message, Lost):
            raise message
        return message

    async def __aiter__(self) -> AsyncIterator[Data]:
        """Messages up to the end of the socket; raises ``Closed`` unless that is a normal one (1000 or 1001)."""
        while True:
            try:
                message = await self.recv()
            except Closed as closed:
                if closed.code in (1000, 1001):
                    return
                raise
            yield message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what waits to be sent, then ends the socket and its session."""
        if self._task is None:
            return
        if self._closing is None:
            self._closing = (code, reason)
        self._wake()
        if not self.connected.is_set():
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def renew(self) -> None:
        """Fetches a fresh token and hands it over in band. Happens by itself for JWTs, at four fifths of their life."""
        token = await self._fetch_token()
        if self._session is not None and self._connection is not None and token is not None:
            await self._connection.send(protocol.credential(token))

    # --- from one connection to the next

    async def _live(self) -> None:
        attempt, ended = 0, (1006, "closed while away")
        try:
            while True:
                since = time.monotonic()
                code, reason, again = await self._attempt()
                if self._closing is not None or not again:
                    ended = (code, reason)
                    return
                attempt = 0 if time.monotonic() - since > 5 else attempt
                await asyncio.sleep(protocol.delay(attempt, code, *self._backoff, random.random()))
                attempt += 1
        except Exception as error:
            ended = (1006, repr(error))
            raise
        finally:
            self._ended = Closed(*ended, self._outbox.clear())
            self._wake()

    async def _attempt(self) -> tuple[int, str, bool]:
        """One connection from its beginning to its end: the code, the reason, and whether to come back."""
        session = (self._session.token, self._session.received) if self._session else None
        try:
            token = await self._fetch_token()
            offered = protocol.offer(self._protocols, token, session)
            connection = await connect(self.url, subprotocols=offered, **self._options)  # type: ignore[arg-type]
        except InvalidStatus as error:
            status = error.response.status_code
            return 1006, f"the handshake was refused: {status}", status in protocol.TRY_AGAIN
        except InvalidURI:
            raise
        except (OSError, TimeoutError, EOFError, InvalidHandshake) as error:
            return 1006, str(error), True
        try:
            await self._serve(connection, protocol.expiry(token))
        except ConnectionClosed:
            pass
        except Broken as error:
            await connection.close(4002, str(error))
            return 4002, str(error), False
        finally:
            # Without a Close frame, which would end the session.
            connection.transport.abort()
            self._connection = None
            self.connected.clear()
        code, reason = connection.close_code or 1006, connection.close_reason or ""
        return code, reason, protocol.comes_back(code, reason, self._token is not None)

    async def _serve(self, connection: ClientConnection, expires: float | None) -> None:
        chosen = connection.subprotocol or ""
        resumable = chosen == protocol.RESUME or chosen.startswith(protocol.RESUME + "+")
        self.protocol = chosen.removeprefix(protocol.RESUME).removeprefix("+") if resumable else chosen.removeprefix("bulkhead.v1")
        self._connection = connection
        if resumable:
            greeting = await connection.recv()
            welcome = protocol.read(greeting) if isinstance(greeting, bytes) else None
            if not isinstance(welcome, protocol.Welcome):
                raise Broken("a message came before the greeting")
            self._begin(welcome)
        else:
            self._begin(None)
        self.connected.set()
        helpers = [self._write(connection, resumable), self._keep_alive(connection)]
        if resumable:
            self._expires = expires
            helpers += [self._acknowledge(connection), self._renew()]
        running = [asyncio.create_task(_until_closed(helper)) for helper in helpers]
        # What the connection has brought is heard to the last message, whoever sees its end first.
        running.append(asyncio.create_task(self._listen(connection, resumable)))
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, welcome: protocol.Welcome | None) -> None:
        """A connection stands; what it is to the one before is in its state: 0 none is known, 1 its continuation, 2 its session is lost."""
        state, count, reason = (welcome.state, welcome.count, welcome.reason) if welcome else (0, None, "")
        if state == 1 and (self._session is None or count is None or not self._outbox.acknowledge(count)):
            raise Broken("a session goes on that never was")
        received = self._session.received if state == 1 and self._session else 0
        lost = None
        if state == 2 and count is not None:
            self._outbox.acknowledge(count)
        if state != 1 and self._begun:
            lost = Lost(reason, count, self._outbox.clear()) if state == 2 else Lost("not resumable", None, self._outbox.clear())
        self._session = _Session(welcome.token, welcome.buffer, received) if welcome else None
        resumed, self._begun = state == 1, True
        if lost is not None and self._on_lost is not None:
            self._on_lost(lost)
        elif lost is not None:
            self._inbox.append(lost)
        self._wake()
        if resumed and self._on_resumed is not None:
            self._on_resumed()

    # --- one connection

    async def _listen(self, connection: ClientConnection, resumable: bool) -> None:
        while True:
            message: Any = await connection.recv()
            if resumable and isinstance(message, bytes):
                message = protocol.read(message)
                if not isinstance(message, bytes):
                    self._told(message)
                    continue
            while len(self._inbox) >= AHEAD and self._closing is None:
                await self._change()
            if self._closing is not None:
                continue
            self._inbox.append(message)
            if self._session is not None:
                self._session.received += 1
                self._session.owed += protocol.size_of(message)
            self._wake()

    def _told(self, message: protocol.Told) -> None:
        match message:
            case protocol.Ack(count):
                if self._session is not None and not self._outbox.acknowledge(count):
                    raise Broken("an ACK counts what was not sent")
            case protocol.Final():
                self._session = None
            case protocol.Credential(True, until):
                self._expires = float(until) or None
            case protocol.Credential(False, _, reason):
                log.warning("%s: the fresh token was refused: %s", self.url, reason)
            case protocol.Welcome():
                raise Broken("a second greeting")
        self._wake()

    async def _acknowledge(self, connection: ClientConnection) -> None:
        """At once, then after 32 messages, a quarter of the buffer, or a second, whichever is first."""
        told = -1
        while (session := self._session) is not None:
            told, session.owed = session.received, 0
            await connection.send(protocol.acknowledge(told))
            while session.received == told:
                await self._change()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while session.received - told < 32 and session.owed <= session.buffer / 4:
                        await self._change()

    async def _keep_alive(self, connection: ClientConnection) -> None:
        while True:
            await asyncio.sleep(PING)
            try:
                async with asyncio.timeout(PONG):
                    await (await connection.ping())
            except TimeoutError:
                # Where nobody takes messages, nothing is read, pongs included.
                if len(self._inbox) < AHEAD:
                    connection.transport.abort()

    async def _renew(self) -> None:
        while True:
            while (expires := self._expires) is None:
                await self._change()
            await asyncio.sleep(max(5.0, (expires - time.time()) * 0.8))
            try:
                await self.renew()
            except (OSError, TimeoutError) as error:
                log.warning("%s: no fresh token: %s", self.url, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while self._expires == expires:
                        await self._change()

    async def _write(self, connection: ClientConnection, resumable: bool) -> None:
        """Sends what is held, in its order. What no session keeps is let go of once it is sent."""
        written = self._outbox.acknowledged
        while True:
            while (written := max(written, self._outbox.acknowledged)) < self._outbox.count:
                data = self._outbox.number(written + 1)
                await connection.send(protocol.escape(data) if resumable else data)
                written += 1
            if self._session is None:
                self._outbox.acknowledge(written)
                self._wake()
            if self._closing is not None:
                await connection.close(*self._closing)
                return
            await self._change()

    async def _fetch_token(self) -> str | None:
        token = self._token() if self._token is not None else None
        return token if token is None or isinstance(token, str) else await token

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()


async def _until_closed(helper: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ConnectionClosed):
        await helper
