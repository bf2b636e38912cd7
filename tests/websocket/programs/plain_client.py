"""The Python client where nothing resumes: an echo, a loss, an echo again; and a refusal, after which it does not come back.

Usage: plain_client.py URL USER
"""
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients/python"))
from bulkhead_socket import BulkheadSocket, Closed, Lost  # noqa: E402

url, user = sys.argv[1:3]


async def main():
    async with BulkheadSocket(url, token=lambda: user, backoff=(0.05, 0.2)) as socket:
        await socket.send("first")
        assert await socket.recv() == "first"
        assert not socket.resumable and socket.protocol == ""
        try:
            raise AssertionError(await socket.recv())
        except Lost as lost:
            reason = lost.reason
        # Not escaped: nobody would take the prefix away.
        await socket.send(b"\xf5bk1\2")
        assert await socket.recv() == b"\xf5bk1\2"
    try:
        async with BulkheadSocket(url):
            raise AssertionError("nobody was let in")
    except Closed as closed:
        print("well", reason, closed.reason.split()[-1])


asyncio.run(main())
