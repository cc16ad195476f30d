"""Run ``python -m loguru_stdbridge.receiver``."""

import sys

from .cli import main

sys.exit(main())
