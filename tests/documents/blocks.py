"""Find the code blocks in documents, by the text alone.

A block says itself how it is run:

* A comment in front of it, ``.. Run: NAME``, names the way (:data:`tests.documents.ways.WAYS`).
* Without one, Python is a script and ``console`` is commands. Python that begins with a comment of a
  file's name (``# shop.py``) is that file, for the commands of the same section.

Blocks of one way in one section belong together: they are run in one directory.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_DIRECTIVE = re.compile(r"\.\. (?:code-block|code|sourcecode|parsed-literal):: *(\S*)$")
_MARKER = re.compile(r"\.\. Run: (.+)$")
_UNDERLINE = re.compile(r"([=~^\"'`*+#.:_-])\1+$")
_FILE_NAME = re.compile(r"# (\S*[\w-]+\.\w+)$")


class Block(NamedTuple):
    """A code block of a document."""

    document: str
    line: int
    section: str
    language: str  # "literal" for one behind "::"
    way: str  # "" where nothing says it
    text: str

    @property
    def file_name(self) -> str:
        """The name that its first line gives it as a file; ``""`` for none."""
        match = _FILE_NAME.match(self.text.split("\n", 1)[0])
        return match.group(1) if match else ""

    @property
    def commands(self) -> list[str]:
        """The commands of a ``console`` block."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


class Group(NamedTuple):
    """The blocks that are run together, and the files of their section.

    Of two files with one name, it has its own.
    """

    way: str
    blocks: list[Block]
    files: dict[str, str]

    @property
    def name(self) -> str:
        first = self.blocks[0]
        return f"{first.document}:{first.line} {self.way}"

    @property
    def commands(self) -> list[str]:
        return [command for block in self.blocks for command in block.commands]


def find_blocks(path: Path, document: str) -> Iterator[Block]:
    """Yield each code block of a document."""
    lines = path.read_text(encoding="utf-8").splitlines()
    section, marker, number = "", "", 0
    while number < len(lines):
        line = lines[number]
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line and _UNDERLINE.match(following) and len(following) >= len(line):
            section, marker = line, ""
        text = line.strip()
        directive, marked = _DIRECTIVE.match(text), _MARKER.match(text)
        number += 1
        if marked:
            marker = marked.group(1)
            continue
        is_literal = text.endswith("::") and not text.startswith(".. ")
        if not directive and not is_literal:
            if text:
                marker = ""
            continue
        language = "literal" if directive is None else directive.group(1)
        first = number
        indent = len(line) - len(line.lstrip())
        while number < len(lines):
            inner = lines[number]
            if inner.strip() and len(inner) - len(inner.lstrip()) <= indent:
                break
            number += 1
        body = textwrap.dedent("\n".join(lines[first:number])).strip("\n")
        if body:
            yield _with_way(Block(document, first, section, language, marker, body + "\n"))
        marker = ""


def _with_way(block: Block) -> Block:
    if block.way:
        return block
    if block.language == "console" or (block.language == "python" and block.file_name):
        return block._replace(way="commands")
    return block._replace(way="script" if block.language == "python" else "")


def group_blocks(blocks: list[Block]) -> list[Group]:
    """Return the blocks in groups that are run together."""
    groups: dict[tuple[object, ...], list[Block]] = {}
    for block in blocks:
        alone = block.line if block.way == "script" else 0
        groups.setdefault((block.document, block.section, block.way, alone), []).append(block)
    return [
        Group(str(key[2]), members, {**_files_of(members[0], blocks), **_named(members)})
        for key, members in groups.items()
    ]


def _files_of(one: Block, blocks: list[Block]) -> dict[str, str]:
    """Return the files of the section of a block."""
    return _named([b for b in blocks if (b.document, b.section) == (one.document, one.section)])


def _named(blocks: list[Block]) -> dict[str, str]:
    return {block.file_name: block.text for block in blocks if block.file_name}
