"""Takes the pictures of the documents: ``python -m tests.browser DIRECTORY``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .scene import Scene, open_browser

SAID = (
    ("gunicorn.access", "INFO", "GET /api/products/1924 200 70 ms"),
    ("shop.search", "INFO", 'Query "rain jacket": 76 results'),
    ("shop.cache", "DEBUG", "cart:76282 hit, 414 bytes"),
    ("sqlalchemy.engine", "DEBUG", "SELECT id, total FROM orders WHERE customer_id = 109 LIMIT 20"),
    ("shop.payments", "SUCCESS", "Payout 6061 settled"),
    ("gunicorn.access", "INFO", "POST /api/cart/5328 200 72 ms"),
    ("shop.payments", "WARNING", "Gateway slow: 4 s, attempt 2 of 3"),
    ("shop.checkout", "INFO", "Order 26660 placed, 155.76 EUR"),
)


def main(directory: Path) -> None:
    """Take them: the page in both schemes."""
    with tempfile.TemporaryDirectory() as place:
        scene = Scene(Path(place) / "shop")
        try:
            with open_browser() as browser:
                for scheme in ("light", "dark"):
                    page = browser.new_page(
                        viewport={"width": 1280, "height": 800}, color_scheme=scheme
                    )
                    page.goto(scene.url)
                    for number in range(8):
                        for worker, (logger, level, text) in enumerate(SAID):
                            scene.order(worker % 4, text=text, logger=logger, level=level, count=2)
                            scene.wait(worker % 4)
                        if number % 3 == 1:
                            scene.log(
                                "Payment failed for order 75001", logger="shop.checkout", fails=1
                            )
                        page.wait_for_timeout(900)
                    page.screenshot(path=str(directory / f"status_{scheme}.png"))
        finally:
            scene.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
