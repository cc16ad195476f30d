"""ASGI, for uvicorn, Hypercorn and Granian."""

from loguru_stdbridge import install_bridge

install_bridge()

import said


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    body = said.answer(scope["path"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
