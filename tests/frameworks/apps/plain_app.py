"""A script."""

from loguru_stdbridge import install_bridge

install_bridge()

import said

if __name__ == "__main__":
    said.say_all()
    raise RuntimeError("the main program ends")
