"""The socket: connections one after another."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from . import protocol
from .connection import Connection
from .protocol import Broken
from .session import Closed, Data, Lost, Session


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
        self._session = Session()
        self._ended: Closed | None = None
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
        return self._session.outbox.bytes

    @property
    def resumable(self) -> bool:
        """Whether what is sent and heard now survives the connection."""
        return self._session.resumable is not None

    async def send(self, data: Data) -> None:
        """Sends a message, or holds it while no connection stands; waits for room above ``max_buffered``.

        Raises ``Closed`` when the socket has ended.
        """
        while self._session.outbox.bytes and self._session.outbox.bytes + protocol.size_of(data) > self._max_buffered and self._ended is None:
            await self._session.change()
        if self._ended is not None:
            raise self._ended
        if self._session.closing is not None:
            raise Closed(*self._session.closing, pending=[])
        self._session.outbox.hold(data)
        self._session.wake()

    async def recv(self) -> Data:
        """The next message of the application's. Raises ``Closed`` at the end, and ``Lost`` where no ``on_lost`` was given."""
        while not self._session.inbox and self._ended is None:
            await self._session.change()
        if not self._session.inbox:
            raise self._ended or Closed(1006, "", [])
        message = self._session.inbox.popleft()
        self._session.wake()
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
        if self._session.closing is None:
            self._session.closing = (code, reason)
        self._session.wake()
        if not self.connected.is_set():
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def renew(self) -> None:
        """Fetches a fresh token and hands it over in band. Happens by itself for JWTs, at four fifths of their life."""
        token = await self._fetch_token()
        if self.resumable and self._connection is not None and token is not None:
            await self._connection.send(protocol.credential(token))

    # --- from one connection to the next

    async def _live(self) -> None:
        attempt, ended = 0, (1006, "closed while away")
        try:
            while True:
                since = time.monotonic()
                code, reason, again = await self._attempt()
                if self._session.closing is not None or not again:
                    ended = (code, reason)
                    return
                attempt = 0 if time.monotonic() - since > 5 else attempt
                await asyncio.sleep(protocol.delay(attempt, code, *self._backoff, random.random()))
                attempt += 1
        except Exception as error:
            ended = (1006, repr(error))
            raise
        finally:
            self._ended = Closed(*ended, self._session.outbox.clear())
            self._session.wake()

    async def _attempt(self) -> tuple[int, str, bool]:
        """One connection from its beginning to its end: the code, the reason, and whether to come back."""
        session = self._session.resumable
        before = (session.token, session.received) if session else None
        try:
            token = await self._fetch_token()
            offered = protocol.offer(self._protocols, token, before)
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

    async def _serve(self, socket: ClientConnection, expires: float | None) -> None:
        connection = Connection(socket, self._session, self.url, self.renew)
        self.protocol = connection.protocol
        self._connection = socket
        resumed, lost = self._session.begin(await connection.greeted())
        if lost is not None and self._on_lost is not None:
            self._on_lost(lost)
        elif lost is not None:
            self._session.inbox.append(lost)
        self._session.wake()
        if resumed and self._on_resumed is not None:
            self._on_resumed()
        self.connected.set()
        await connection.serve(expires)

    async def _fetch_token(self) -> str | None:
        token = self._token() if self._token is not None else None
        return token if token is None or isinstance(token, str) else await token
