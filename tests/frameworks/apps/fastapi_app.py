"""FastAPI, under its usual server."""

from loguru_stdbridge import install_bridge

install_bridge()

import said
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

application = FastAPI()


@application.get("/{name}")
def page(name: str) -> PlainTextResponse:
    return PlainTextResponse(said.answer(f"/{name}"))
