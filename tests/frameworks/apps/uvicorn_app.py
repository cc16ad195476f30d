"""An application that starts uvicorn itself, with the options that it is given."""

from loguru_stdbridge import install_bridge

install_bridge()

import sys

import uvicorn
from asgi_app import application

__all__ = ["application"]

if __name__ == "__main__":
    options = {"workers": 2} if sys.argv[2] == "workers" else {"reload": True}
    uvicorn.run("uvicorn_app:application", port=int(sys.argv[1]), **options)
