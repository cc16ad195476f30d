"""Has the scripts that Loguru's tests run log through a bridge, too. Python imports it at its start.

The tests of exceptions run scripts that log to standard error.
"""

import os
import sys

if os.environ.get("BRIDGE_SUITE") and os.path.join("exceptions", "source") in " ".join(
    getattr(sys, "orig_argv", ())
):
    import through_the_bridge

    through_the_bridge.install(in_pytest=False)
