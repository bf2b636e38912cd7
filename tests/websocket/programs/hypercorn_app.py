"""An application on hypercorn, by HTTP/1.1 and by HTTP/2 without TLS: says what it was asked.

Usage: hypercorn_app.py PORT FILE. PORT 0 lets the kernel choose; the port is written into FILE once it listens.
"""
import asyncio
import hashlib
import json
import os
import socket
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        body, more = event.get("body", b""), event.get("more_body", False)
        digest.update(body)
        size += len(body)
    said = {
        "version": scope["http_version"],
        "method": scope["method"],
        "path": scope["path"],
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "size": size,
        "sha256": digest.hexdigest(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-application", b"yes")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
os.set_inheritable(listener.fileno(), True)
config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.loglevel = "WARNING"
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
asyncio.run(serve(app, config))
