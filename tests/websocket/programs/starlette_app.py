"""An application on Starlette and uvicorn: WebSockets that echo, REST, server-sent events, uploads.

Usage: starlette_app.py PORT FILE. PORT 0 lets the kernel choose; the port is written into FILE once it listens.
"""
import asyncio
import hashlib
import os
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

released = asyncio.Event()


async def echo(ws):
    offered = ws.scope["subprotocols"]
    await ws.accept(subprotocol="chat" if "chat" in offered else None)
    if ws.url.path.startswith("/headers"):
        headers = [[name.decode(), value.decode()] for name, value in ws.scope["headers"]]
        query = ws.scope["query_string"].decode()
        await ws.send_json({"path": ws.url.path + ("?" + query if query else ""), "headers": headers})
    while True:
        message = await ws.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await ws.send_text(message["text"])
        else:
            await ws.send_bytes(message["bytes"])


async def whoami(request):
    headers = [[name.decode(), value.decode()] for name, value in request.scope["headers"]]
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": headers,
            "peer": request.client.port,
            "body": (await request.body()).decode(),
        },
        headers={"x-application": "yes"},
    )


async def upload(request):
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def events(request):
    async def stream():
        yield "data: first\n\n"
        await released.wait()
        yield "data: last\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def release(request):
    released.set()
    return Response(status_code=204)


async def status(request):
    return Response("as the application says", status_code=request.path_params["code"], headers={"retry-after": "77"})


async def download(request):
    return Response(bytes(range(256)) * 4096 * request.path_params["mib"])


app = Starlette(
    routes=[
        WebSocketRoute("/{path:path}", echo),
        Route("/whoami", whoami, methods=["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/events", events),
        Route("/release", release, methods=["POST"]),
        Route("/status/{code:int}", status),
        Route("/download/{mib:int}", download),
    ]
)

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", ws_ping_interval=None, ws_max_size=1 << 30)
uvicorn.Server(config).run(sockets=[listener])
