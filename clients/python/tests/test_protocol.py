"""The pure part of the client, in tables."""
import base64
import json
import unittest

from bulkhead_socket import protocol
from bulkhead_socket.protocol import PREFIX, Ack, Broken, Credential, Final, Outbox, Unknown, Welcome


def token(claims: dict[str, object]) -> str:
    return f"x.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


class Protocol(unittest.TestCase):
    def test_an_offer_has_everything_in_an_order_of_preference_and_tokens_last(self) -> None:
        self.assertEqual(protocol.offer([], None, None), ["bulkhead.resume.v1", "bulkhead.v1"])
        wanted = "bulkhead.resume.v1+a bulkhead.resume.v1+b bulkhead.resume.v1 a b bulkhead.v1 bulkhead.token.w7w-Pw bulkhead.session.abc-_9.7"
        self.assertEqual(protocol.offer(["a", "b"], "ü>?", ("abc-_9", 7)), wanted.split())

    def test_what_is_escaped_comes_back_as_it_was(self) -> None:
        for data in (b"", b"ab", b"\xf5", b"\xf5b", PREFIX, PREFIX + b"\2", PREFIX + b"\xf5", PREFIX + PREFIX):
            escaped = protocol.escape(data)
            assert isinstance(escaped, bytes)
            self.assertEqual(protocol.read(escaped), data)
        self.assertEqual(protocol.escape("text"), "text")

    def test_control_messages_of_the_server_are_read(self) -> None:
        count = (258).to_bytes(8, "big")
        for body, told in (
            (b"\1\2\3" + (60000).to_bytes(4, "big") + (262144).to_bytes(4, "big") + count + b"token", Welcome(2, "pod", 60000, 262144, 258, "token")),
            (b"\1\2\0" + bytes(8) + b"\xff" * 8 + b"t", Welcome(2, "unknown", 0, 0, None, "t")),
            (b"\2" + count, Ack(258)),
            (b"\3\1", Final()),
            (b"\4\1" + bytes(8) + "why ü".encode(), Credential(False, 0, "why ü")),
            (b"\x63\1\2", Unknown()),
        ):
            self.assertEqual(protocol.read(PREFIX + body), told)

    def test_a_control_message_that_is_cut_short_is_broken(self) -> None:
        for cut in (b"", b"\1\0\0", b"\2\0\0", b"\4", b"\4\0\0"):
            with self.assertRaises(Broken, msg=repr(cut)):
                protocol.read(PREFIX + cut)

    def test_control_messages_of_the_client_are_written(self) -> None:
        self.assertEqual(protocol.acknowledge(258), b"\xf5bk1\2\0\0\0\0\0\0\1\2")
        self.assertEqual(protocol.credential("abc"), b"\xf5bk1\4abc")

    def test_an_outbox_lets_go_of_what_has_arrived_and_of_nothing_else(self) -> None:
        outbox = Outbox()
        for data in ("a", "bb", b"ccc"):
            outbox.hold(data)
        for count, fits, size in ((4, False, 6), (2, True, 3), (1, False, 3), (2, True, 3)):
            self.assertEqual((outbox.acknowledge(count), outbox.bytes), (fits, size), count)
        self.assertEqual((outbox.number(3), outbox.count), (b"ccc", 3))
        self.assertEqual((outbox.clear(), outbox.bytes, outbox.count), ([b"ccc"], 0, 0))

    def test_the_wait_grows_to_its_bound_and_is_longer_at_once_when_the_sidecar_says_later(self) -> None:
        for attempt, code, most in ((0, 1006, 0.5), (1, 1006, 1), (6, 1006, 30), (6000, 1006, 30), (0, 1013, 2), (3, 1013, 4)):
            self.assertEqual(protocol.delay(attempt, code, 0.5, 30, 1), most)
            self.assertEqual(protocol.delay(attempt, code, 0.5, 30, 0), 0)

    def test_a_jwt_says_when_it_expires_and_nothing_else_does(self) -> None:
        found = [protocol.expiry(it) for it in (token({"exp": 1234, "name": "ü>?"}), token({}), token({"exp": "soon"}), "alice", "a.b.c", None)]
        self.assertEqual(found, [1234, None, None, None, None, None])

    def test_it_comes_back_after_the_codes_that_the_documentation_says(self) -> None:
        codes = (1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 3008, 4000)
        self.assertEqual([code for code in codes if protocol.comes_back(code, "", True)], [1001, 1006, 1012, 1013, 1014, 3008])
        self.assertFalse(protocol.comes_back(1001, "taken over by a newer connection", True))
        expired = "webSockets[chat].timeouts.expiryGrace = 30s (default)"
        self.assertEqual([protocol.comes_back(1008, expired, has) for has in (True, False)], [True, False])


if __name__ == "__main__":
    unittest.main()
