"""The resume protocol without a connection: what is said in which bytes, what is held, and when to come back.

Nothing in here waits, reads a clock or rolls dice. docs/websockets.md describes it.
"""

import base64
import json
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

RESUME = "bulkhead.resume.v1"
PREFIX = b"\xf5bk1"
ESCAPED = 0xF5
WELCOME, ACK, FINAL, CREDENTIAL = 1, 2, 3, 4
LOST_BECAUSE = ("unknown", "application", "buffer", "pod", "user")
UNKNOWN = 0xFFFF_FFFF_FFFF_FFFF
"""A count that the server does not know."""

COME_BACK = {1001, 1006, 1012, 1013, 1014, 3008}
"""Close codes after which coming back helps: docs/websockets.md, "Close codes". 1006 is a connection that ended without a Close frame."""
TRY_AGAIN = {429, 500, 502, 503, 504}
"""The same of statuses that refuse a handshake."""


@dataclass(frozen=True)
class Welcome:
    """The first message of a resumable socket."""

    state: int
    reason: str
    window: int
    buffer: int
    count: int | None
    token: str


@dataclass(frozen=True)
class Ack:
    """So many own messages have been written whole to the application."""

    count: int


@dataclass(frozen=True)
class Final:
    """From here on the session does not survive its connection."""


@dataclass(frozen=True)
class Credential:
    """What has become of a fresh token; ``until`` in seconds since 1970, 0 for never."""

    accepted: bool
    until: int
    reason: str


@dataclass(frozen=True)
class Unknown:
    """A control message of a later protocol."""


Told = Welcome | Ack | Final | Credential | Unknown


class Broken(Exception):
    """The sidecar has broken the protocol."""


def offer(protocols: Sequence[str], token: str | None, session: tuple[str, int] | None) -> list[str]:
    """The subprotocols to offer: the application's with resume and without, then the markers and the tokens, which nobody selects."""
    names = [f"{RESUME}+{name}" for name in protocols] + [RESUME, *protocols, "bulkhead.v1"]
    if token is not None:
        names.append("bulkhead.token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("="))
    if session is not None:
        names.append(f"bulkhead.session.{session[0]}.{session[1]}")
    return names


def acknowledge(count: int) -> bytes:
    return PREFIX + bytes([ACK]) + count.to_bytes(8, "big")


def credential(token: str) -> bytes:
    return PREFIX + bytes([CREDENTIAL]) + token.encode()


def escape(data: str | bytes) -> str | bytes:
    """Data as it goes over a resumable socket: binary that could be taken for a control message gets the prefix in front."""
    return PREFIX + data if isinstance(data, bytes) and data[:1] == PREFIX[:1] else data


def read(data: bytes) -> bytes | Told:
    """What a binary message of the server's is: data, or a control message.

    Raises ``Broken`` when it is cut short.
    """
    if not data.startswith(PREFIX):
        return data
    kind, body = data[4:5], data[5:]
    try:
        match kind[0]:
            case 0xF5:
                return data[4:]
            case 1:
                state, reason, window, buffer, count = struct.unpack_from(">BBIIQ", body)
                because = LOST_BECAUSE[reason] if reason < len(LOST_BECAUSE) else "unknown"
                return Welcome(state, because, window, buffer, None if count == UNKNOWN else count, body[18:].decode())
            case 2:
                return Ack(*struct.unpack_from(">Q", body))
            case 3:
                return Final()
            case 4:
                state, until = struct.unpack_from(">BQ", body)
                return Credential(state == 0, until, body[9:].decode())
            case _:
                return Unknown()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Broken("a control message is cut short") from error


def size_of(data: str | bytes) -> int:
    """The bytes that data takes on the wire, headers apart."""
    return len(data.encode()) if isinstance(data, str) else len(data)


class Outbox:
    """Own messages that are not known to have arrived, numbered from 1."""

    def __init__(self) -> None:
        self._held: deque[str | bytes] = deque()
        self.acknowledged = 0
        self.bytes = 0

    @property
    def count(self) -> int:
        """The number of the newest message."""
        return self.acknowledged + len(self._held)

    def hold(self, data: str | bytes) -> None:
        self._held.append(data)
        self.bytes += size_of(data)

    def number(self, number: int) -> str | bytes:
        """A message that is held."""
        return self._held[number - self.acknowledged - 1]

    def acknowledge(self, count: int) -> bool:
        """Lets go of all up to ``count``; false if there never was such a message, or it was let go of before."""
        if not self.acknowledged <= count <= self.count:
            return False
        for _ in range(count - self.acknowledged):
            self.bytes -= size_of(self._held.popleft())
        self.acknowledged = count
        return True

    def clear(self) -> list[str | bytes]:
        """Empties it, and counts from 0 again: what was held, oldest first."""
        held = list(self._held)
        self._held.clear()
        self.acknowledged = self.bytes = 0
        return held


def delay(attempt: int, code: int, first: float, most: float, chance: float) -> float:
    """Seconds to wait before an attempt, the first of which is 0; ``chance`` is from 0 to 1. After 1013 ("later") it is the third at least."""
    doublings = min(max(attempt, 2 if code == 1013 else 0), 32)
    return chance * min(most, first * (1 << doublings))


def expiry(token: str | None) -> float | None:
    """When a JWT expires, in seconds since 1970; ``None`` for other tokens."""
    try:
        payload = (token or "").split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(expires)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def comes_back(code: int, reason: str, has_token: bool) -> bool:
    """Whether to come back after this Close frame."""
    # Expired: a fresh token helps. Taken over: another connection has this session, and would lose it again to us.
    if code == 1008:
        return has_token and "expiryGrace" in reason
    return code in COME_BACK and "taken over" not in reason
