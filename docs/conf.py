"""Sphinx's configuration: ``tox -e docs``, or ``python -m sphinx -W docs HTML-DIRECTORY``.

The pages are written to be read as they are, too. So they link to each other as files
(``options.rst``), and such a link is turned into one to the page here.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

import loguru_stdbridge

project = "loguru_stdbridge"
version = release = loguru_stdbridge.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "alabaster"
html_theme_options = {
    "description": "One rotated log file for many processes.",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_copyright = False
html_static_path = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

PAGES_OF_FILES = {
    "../README.rst": "index",
    "../CHANGELOG.rst": "changelog",
    "../CONTRIBUTING.rst": "contributing",
}
"""Files outside ``docs/``, by the page that stands for each."""


def link_to_pages(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn each link to a file of the documentation into a link to its page."""
    for link in doctree.findall(nodes.reference):
        path, mark, section = link.get("refuri", "").partition("#")
        page = PAGES_OF_FILES.get(path)
        if page is None and re.fullmatch(r"[\w-]+\.rst", path):
            page = path[: -len(".rst")]
        if page is not None:
            link["refuri"] = app.builder.get_relative_uri(docname, page) + mark + section


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("doctree-resolved", link_to_pages)
