"""A client of HTTP/2 without TLS: many requests at once by one connection, each of a user of its own.

Usage: http2_client.py URL USER
"""
import asyncio
import sys

import httpx

url, user = sys.argv[1].replace("ws://", "http://"), sys.argv[2]


async def ask(client, number):
    name = f"{user}-{number}"
    body = name.encode() * 10_000
    answer = await client.post(f"{url}/{name}", headers={"Authorization": f"Bearer {name}"}, content=body)
    assert answer.status_code == 200 and answer.http_version == "HTTP/2", answer
    said = answer.json()
    headers = dict(map(tuple, said["headers"]))
    assert said["version"] == "2" and said["path"] == f"/ws/{name}", said
    assert headers["x-bulkhead-user"] == name, said
    assert said["size"] == len(body), said


async def main():
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(http1=False, http2=True, timeout=20, limits=limits) as client:
        for _ in range(3):
            await asyncio.gather(*(ask(client, number) for number in range(40)))


asyncio.run(main())
print("well")
