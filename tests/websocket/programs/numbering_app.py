"""An application that numbers what it says, and holds its clients to the same; it also serves the JavaScript client to browsers.

Message N of either side is "N", or, where N is odd, binary that looks like the beginning of a control message, followed by N. At "end" it
says how many it has heard and said, and nothing more. What is out of its order ends the socket with 4400.

Usage: numbering_app.py PORT FILE. PORT 0 lets the kernel choose; the port is written into FILE once it listens.
"""
import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

programs = Path(__file__).parent
PREFIX = b"\xf5bk1"


def numbered(number):
    return f"{number}" if number % 2 == 0 else PREFIX[: number // 2 % 5] + b"\xf5 %d" % number


async def say(ws, message):
    await (ws.send_text(message) if isinstance(message, str) else ws.send_bytes(message))


async def numbers(ws):
    await ws.accept(subprotocol="numbers" if "numbers" in ws.scope["subprotocols"] else None)
    said = 0

    async def talk():
        nonlocal said
        while True:
            await say(ws, numbered(said))
            said += 1
            await asyncio.sleep(0.001)

    talking = asyncio.create_task(talk())
    heard = 0
    try:
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            message = message["bytes"] if message.get("text") is None else message["text"]
            if message == "end":
                break
            if message != numbered(heard):
                await ws.close(4400, f"{message!r} came as number {heard}"[:120])
                return
            heard += 1
        talking.cancel()
        await asyncio.wait([talking])
        await say(ws, f"end {heard} {said}")
        while (await ws.receive())["type"] != "websocket.disconnect":
            pass
    except WebSocketDisconnect:
        pass
    finally:
        talking.cancel()


async def page(request):
    return HTMLResponse("<!doctype html><title>A page of the tests</title>")


app = Starlette(
    routes=[
        WebSocketRoute("/{path:path}", numbers),
        Route("/page", page),
        Mount("/client", StaticFiles(directory=programs / "../../../clients/javascript")),
        Mount("/programs", StaticFiles(directory=programs)),
    ]
)

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", ws_ping_interval=None)
uvicorn.Server(config).run(sockets=[listener])
