"""The page is one constant document within its bounds, and its policy lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re

from loguru_stdbridge.status.page import MAX_PAGE, load_page


def test_the_page_is_small_and_asks_nobody_else():
    """The page has its bound of bytes, names no other place, and has no handler in its markup."""
    page = load_page()[0].decode()
    assert len(page.encode()) <= MAX_PAGE
    assert re.findall(r"https?://[^\s'\"]+", page) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<[^>]+\s(on\w+|style)=", page.split("<script>", maxsplit=1)[0])
    for dangerous in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert dangerous not in page


def test_the_policy_has_the_hashes_of_the_page():
    """The policy allows the page's own script and style, by their hashes, and nothing else."""
    page, policy = load_page()
    script = re.search(b"<script>(.*?)</script>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "'unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
