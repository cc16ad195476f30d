"""Flask, under its own development server."""

from loguru_stdbridge import install_bridge

install_bridge()

import said
from flask import Flask

application = Flask(__name__)


@application.get("/<name>")
def page(name):
    if name == "say":
        application.logger.info("said by the Flask application at INFO")
        application.logger.warning("said by the Flask application at WARNING")
    return said.answer(f"/{name}")
