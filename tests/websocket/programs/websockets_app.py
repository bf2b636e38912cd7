"""An application on Python's `websockets`: echoes; at /headers it says first what it was asked, at /verified?keys=URL what it believes of it.

Usage: websockets_app.py PORT FILE. PORT 0 lets the kernel choose; the port is written into FILE once it listens.
"""
import asyncio
import json
import os
import sys

import jwt
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

clients = {}


def verified(request):
    """The claims of the context token, once its signature, its time, its issuer and its audience have been checked."""
    url = request.path.partition("?keys=")[2]
    keys = clients.setdefault(url, jwt.PyJWKClient(url, cooldown_duration=0))
    token = request.headers["x-bulkhead-context"]
    key = keys.get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=["EdDSA"], issuer="bulkhead/chat", audience="chat")


def tell(port):
    with open(sys.argv[2] + ".new", "w") as file:
        file.write(str(port))
    os.rename(sys.argv[2] + ".new", sys.argv[2])


async def echo(socket):
    request = socket.request
    if request.path.startswith("/headers"):
        await socket.send(json.dumps({"path": request.path, "headers": list(request.headers.raw_items())}))
    if request.path.startswith("/verified"):
        try:
            said = await asyncio.to_thread(verified, request)
        except jwt.PyJWTError as error:
            said = {"error": repr(error)}
        await socket.send(json.dumps(said))
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass


def select(socket, offered):
    return next((it for it in offered if it == "chat"), None)


async def main():
    server = await serve(
        echo, "127.0.0.1", int(sys.argv[1]), max_size=None, ping_interval=None, select_subprotocol=select, backlog=1024
    )
    tell(server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
