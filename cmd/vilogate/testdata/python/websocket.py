"""A WebSocket server that echoes, or a client of one: websocket.py server | client ADDRESS CA TOKEN URL"""

import asyncio
import os
import ssl
import sys
import urllib.parse

import websockets

SIZE = 16 << 20


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosedError:
        pass
    print("closed", socket.close_code, socket.close_reason, len(socket.extensions), flush=True)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=2 * SIZE) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def ask(address, ca, token, url):
    host, port = address.rsplit(":", 1)
    to = {
        "host": host, "port": int(port), "ssl": ssl.create_default_context(cafile=ca), "server_hostname": urllib.parse.urlsplit(url).hostname,
        "max_size": 2 * SIZE,
    }
    for compression in "deflate", None:
        async with websockets.connect(
            url, compression=compression, extra_headers={"Authorization": "Bearer " + token}, **to
        ) as socket:
            for message in "x" * SIZE, os.urandom(SIZE), "", b"", "€":
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["in ", "pieces"])
            assert await socket.recv() == "in pieces"
            await (await socket.ping(b"there?"))
            print("extensions", len(socket.extensions), flush=True)
            await socket.close(4321, "enough")
    try:
        async with websockets.connect(url, **to):
            print("opened by nobody")
    except websockets.InvalidStatusCode as refused:
        print("refused", refused.status_code)


asyncio.run(serve() if sys.argv[1] == "server" else ask(*sys.argv[2:]))
