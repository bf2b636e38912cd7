"""What goes from one connection of a socket to the next. No I/O."""

import asyncio
from collections import deque
from dataclasses import dataclass

from . import protocol
from .protocol import Broken, Outbox

Data = str | bytes


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
class Resumable:
    """What a connection must know to take up the one before."""

    token: str
    buffer: int
    received: int
    owed: int = 0
    """Bytes received since the last ACK."""


class Session:
    """Messages on both sides, and how the one before ended; whoever waits for any of it wakes at each change."""

    def __init__(self) -> None:
        self.resumable: Resumable | None = None
        self.outbox = Outbox()
        self.inbox: deque[Data | Lost] = deque()
        self.expires: float | None = None
        """When the token ends by which the connection lives, where it can be renewed."""
        self.closing: tuple[int, str] | None = None
        """The code and the reason of an end that was asked for."""
        self._begun = False
        self._changed = asyncio.Event()

    def begin(self, welcome: protocol.Welcome | None) -> tuple[bool, Lost | None]:
        """A connection stands: whether it goes on with the session of the one before, and the loss of that if it was lost.

        Raises ``Broken`` where it cannot be as the greeting says.
        """
        # What it is to the one before is in the state: 0 none is known, 1 its continuation, 2 its session is lost.
        state, count, reason = (welcome.state, welcome.count, welcome.reason) if welcome else (0, None, "")
        if state == 1 and (self.resumable is None or count is None or not self.outbox.acknowledge(count)):
            raise Broken("a session goes on that never was")
        received = self.resumable.received if state == 1 and self.resumable else 0
        lost = None
        if state == 2 and count is not None:
            self.outbox.acknowledge(count)
        if state != 1 and self._begun:
            lost = Lost(reason, count, self.outbox.clear()) if state == 2 else Lost("not resumable", None, self.outbox.clear())
        self.resumable = Resumable(welcome.token, welcome.buffer, received) if welcome else None
        self._begun = True
        return state == 1, lost

    def wake(self) -> None:
        """Something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Waits until something does."""
        await self._changed.wait()
