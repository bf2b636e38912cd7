"""The Python client whose token expires: it brings the next one in band, and keeps its connection.

Usage: renewing_client.py URL TOKEN TOKEN SECONDS
"""
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients/python"))
from bulkhead_socket import BulkheadSocket  # noqa: E402

url, first, following, seconds = sys.argv[1:5]
tokens = [first, following]


async def main():
    async with BulkheadSocket(url, token=lambda: tokens.pop(0), on_resumed=lambda: print("resumed")) as socket:
        await asyncio.sleep(float(seconds))
        await socket.send("still here")
        print("well", await socket.recv(), len(tokens))


asyncio.run(main())
