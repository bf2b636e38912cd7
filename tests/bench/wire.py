"""A PostgreSQL client of fifty lines: logs in without a password, runs simple queries, and holds thousands of connections cheaply."""

import socket
import ssl
import struct


class Refused(Exception):
    """The server answered with an ErrorResponse; the text is its message."""


TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


class Client:
    """One connection, ready for queries."""

    def __init__(self, port, user, database, seconds=30, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls:
                self.secure()
            words = ["user", user, "database", database]
            body = struct.pack("!i", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
            self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
            self.until_ready()
        except BaseException:
            self.socket.close()
            raise

    def secure(self):
        """TLS with whoever answers: memory is measured here, and not trust."""
        self.socket.sendall(struct.pack("!ii", 8, 80877103))
        if self.exactly(1) != b"S":
            raise Refused("no TLS is offered")
        self.socket = TRUSTING.wrap_socket(self.socket)

    def query(self, text):
        """Runs one simple query, and leaves its rows unread."""
        body = text.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        self.until_ready()

    def until_ready(self):
        """Reads messages until ReadyForQuery; an ErrorResponse on the way is raised."""
        refusal = None
        while True:
            tag, length = struct.unpack("!ci", self.exactly(5))
            body = self.exactly(length - 4)
            if tag == b"E":
                fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
                refusal = Refused(f"{fields.get(b'C')}: {fields.get(b'M')}")
                if fields.get(b"V") == "FATAL":
                    raise refusal
            elif tag == b"R" and struct.unpack("!i", body[:4])[0] != 0:
                raise Refused("a password is asked for")
            elif tag == b"Z":
                if refusal:
                    raise refusal
                return

    def exactly(self, count):
        """Reads `count` bytes."""
        parts = b""
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise OSError("the connection was closed")
            parts += part
        return parts

    def close(self):
        """Says goodbye, and closes the connection."""
        try:
            self.socket.sendall(b"X\0\0\0\4")
        except OSError:
            pass
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
