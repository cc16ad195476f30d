"""Every code block that a user may copy runs, and logs what it says it logs.

The blocks are found in the documents themselves (:mod:`tests.documents.blocks`). Those of frameworks
that are not installed are skipped by name: ``pip install '.[frameworks]'`` brings them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.blocks import Block, find_blocks, group_blocks
from tests.documents.ways import ROOT, WAYS, Run

DOCUMENTS = ["README.rst", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst"))]
BLOCKS = [block for name in DOCUMENTS for block in find_blocks(ROOT / name, name)]
GROUPS = {
    (group.way, *(block.text for block in group.blocks)): group  # the same block is run once
    for group in group_blocks(BLOCKS)
    if group.way not in ("", "picture", "output")
}.values()


def test_somebody_knows_how_to_run_every_block():
    """Each block has a language and a way to run it, and no way is left without a block."""
    unknown = [
        f"{block.document}:{block.line} {block.language!r}: {block.way or 'no way is named'}"
        for block in BLOCKS
        if block.way not in WAYS or not block.language
    ]
    assert unknown == []
    assert set(WAYS) == {block.way for block in BLOCKS}


@pytest.mark.parametrize("group", [pytest.param(group, id=group.name) for group in GROUPS])
def test_a_block_does_what_it_says(group, tmp_path):
    """What a document shows runs as it stands, and what it logs is in the log."""
    way = WAYS[group.way]
    if way.missing:
        pytest.skip(f"needs {', '.join(way.missing)}: pip install '.[frameworks]'")
    run = Run(group, tmp_path)
    try:
        way.function(run)
    finally:
        run.end_receivers()


TEXT = """
One
===

.. code-block:: python

    print(1)

- an item::

      $ not a command

.. Run: somehow

.. code-block:: ini

    # a.ini
    [a]

Two
---

.. code-block:: python

   # two.py
   print(2)

.. code-block:: console

   $ python two.py
   2
"""


def test_blocks_are_found_wherever_they_stand(tmp_path):
    """The finder sees languages, literal blocks, markers, sections, names of files and commands."""
    path = tmp_path / "text.rst"
    path.write_text(TEXT)
    blocks = list(find_blocks(path, "text.rst"))
    assert [(b.section, b.language, b.way, b.file_name) for b in blocks] == [
        ("One", "python", "script", ""),
        ("One", "literal", "", ""),
        ("One", "ini", "somehow", "a.ini"),
        ("Two", "python", "commands", "two.py"),
        ("Two", "console", "commands", ""),
    ]
    assert blocks[0] == Block("text.rst", 5, "One", "python", "script", "print(1)\n")
    assert blocks[4].commands == ["python two.py"]
    two = group_blocks(blocks)[-1]
    assert two.files == {"two.py": "# two.py\nprint(2)\n"}


def test_all_documents_are_read():
    """The pages of ``docs/`` and the README are among them; nothing is left out by its place."""
    names = {Path(name).name for name in DOCUMENTS}
    assert {"README.rst", "start.rst", "options.rst", "architecture.rst"} <= names
    assert len(BLOCKS) > 40
