"""A client on Python's `websockets` in front of an echo: every kind of message, with compression and without.

Usage: client.py URL USER
"""
import asyncio
import sys

from websockets.asyncio.client import connect

url, user = sys.argv[1:3]
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 300_000]


async def talk(compression):
    headers = {"Authorization": f"Bearer {user}"}
    async with connect(url, additional_headers=headers, compression=compression, max_size=None) as socket:
        for size in SIZES:
            for message in ("ü" * (size // 2), bytes(at % 251 for at in range(size))):
                await socket.send(message)
                assert await socket.recv() == message, size
        # Fragments, with pings between them.
        await socket.send(["one ", "two ", "", "three"])
        await (await socket.ping(b"between"))
        assert await socket.recv() == "one two three"
        # Many in flight.
        for number in range(200):
            await socket.send(f"{user} {number}")
        for number in range(200):
            assert await socket.recv() == f"{user} {number}"
        await socket.close(4123, "that was all")
    assert socket.close_code == 4123, socket.close_code
    return [extension.name for extension in socket.protocol.extensions]


plain = asyncio.run(talk(None))
deflated = asyncio.run(talk("deflate"))
print("well", plain, deflated)
