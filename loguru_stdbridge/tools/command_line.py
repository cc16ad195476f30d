"""What the commands for a terminal have in common: how they read their words, and how they end."""

from __future__ import annotations

import argparse
from typing import NoReturn

EXIT_NOT_DONE = 1
"""What was asked for was not done, or is not so."""

EXIT_NOBODY_THERE = 3
"""No receiver answers."""


class ToolParser(argparse.ArgumentParser):
    """Says in one line what is wrong, and shows a text of ours for help."""

    def __init__(self, program: str, usage_text: str) -> None:
        """``usage_text`` has ``{prog}`` where the name of the command goes."""
        super().__init__(prog=program, allow_abbrev=False)
        self._usage_text = usage_text

    def format_help(self) -> str:
        """Return the text for ``--help``. Called by argparse."""
        return self._usage_text.format(prog=self.prog)

    def error(self, message: str) -> NoReturn:
        """End with what is wrong. Called by argparse."""
        self.exit(2, f"{self.prog}: {message}; --help shows the usage\n")
