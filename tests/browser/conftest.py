"""What the tests of the page share: a browser, a scene, and a page that looks at it."""

from __future__ import annotations

import pytest

from tests.browser.look import Look
from tests.browser.scene import Scene, open_browser


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@pytest.fixture
def look(browser, scene):
    """Return ``look(path, **options)``; a page with an error or a report fails the test."""
    looks = []

    def look(path="", **options):
        looks.append(Look(browser, scene, path, **options))
        return looks[-1]

    yield look
    for each in looks:
        each.leave()
