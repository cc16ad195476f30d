"""An application that starts Granian itself."""

from loguru_stdbridge import install_bridge

install_bridge()

import sys

from asgi_app import application
from granian import Granian

__all__ = ["application"]

if __name__ == "__main__":
    Granian(
        "granian_app:application",
        port=int(sys.argv[1]),
        interface="asgi",
        workers=2,
        log_access=True,
        respawn_failed_workers=True,
    ).serve()
