"""The other side of numbering_app.py, on the Python client.

Usage: numbering_client.py URL USER RESUMES
"""
import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients/python"))
from bulkhead_socket import BulkheadSocket, Lost  # noqa: E402

url, user, resumes = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = {"resumed": 0, "sent": 0, "heard": 0, "protocol": ""}


def numbered(number):
    return f"{number}" if number % 2 == 0 else b"\xf5bk1"[: number // 2 % 5] + b"\xf5 %d" % number


def resumed():
    seen["resumed"] += 1


def lost(lost: Lost):
    raise AssertionError(f"{lost}, {lost.arrived} arrived; so far {seen}")


async def talk(socket):
    while seen["resumed"] < resumes:
        await socket.send(numbered(seen["sent"]))
        seen["sent"] += 1
        await asyncio.sleep(0.001)
    await socket.send("end")


async def main():
    options = {"protocols": ["other", "numbers"], "token": lambda: user, "backoff": (0.004, 0.05)}
    async with BulkheadSocket(url, on_lost=lost, on_resumed=resumed, **options) as socket:
        seen["protocol"] = socket.protocol
        talking = asyncio.create_task(talk(socket))
        async for message in socket:
            if isinstance(message, str) and message.startswith("end "):
                assert message == f"end {seen['sent']} {seen['heard']}", (message, seen)
                break
            assert message == numbered(seen["heard"]), (message, seen)
            seen["heard"] += 1
        await talking


asyncio.run(main())
print("well", json.dumps(seen))
