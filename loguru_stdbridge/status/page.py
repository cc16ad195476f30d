"""The status page: one constant document, and the policy by which a browser runs nothing else.

Nothing is filled in: what the page shows comes as events. So the hashes of its script and of its
style are enough for the policy, and no text of a record can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import pkgutil
import re
from functools import lru_cache

MAX_PAGE = 45 * 1024
"""Bytes of the page."""


@lru_cache(maxsize=1)
def load_page() -> tuple[bytes, str]:
    """Return the page and its Content-Security-Policy."""
    page = pkgutil.get_data(__package__, "page.html") or b""
    script, style = (_hash_of(page, tag) for tag in (b"script", b"style"))
    policy = [
        "default-src 'none'",
        f"script-src '{script}'",
        f"style-src '{style}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return page, "; ".join(policy)


def _hash_of(page: bytes, tag: bytes) -> str:
    match = re.search(b"<" + tag + b">(.*?)</" + tag + b">", page, re.DOTALL)
    assert match is not None
    return f"sha256-{base64.b64encode(hashlib.sha256(match.group(1)).digest()).decode()}"
