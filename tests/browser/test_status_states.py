"""Each state, reason to pause, word of the filter and key of the page's design, in a browser."""

from __future__ import annotations

import pytest

from tests.browser.look import Look
from tests.browser.scene import Scene, find_chromium
from tests.support.processes import ReceiverProcess, free_port
from tests.support.waiting import wait_until

pytest.importorskip("playwright", reason="needs the extra: pip install '.[browser]'")

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

RECORDS = (
    {"text": "order paid in full", "logger": "shop.cart"},
    {"text": "order paid late", "logger": "shop.cart.late", "level": "WARNING"},
    {"text": "health check", "logger": "web"},
    {"text": "order failed", "logger": "shop.pay", "level": "ERROR"},
    {"text": "raised", "logger": "web", "fails": True},
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A scene with one record of each kind, which no test adds to."""
    scene = Scene(tmp_path_factory.mktemp("told"))
    for record in RECORDS:
        scene.log(**record)
    yield scene
    scene.close()


@pytest.fixture
def filled(browser, told):
    """A page that shows it."""
    page = Look(browser, told)
    page.sees("raised")
    yield page
    page.leave()


def seen_with(page, query):
    """Return the messages in sight once a filter has been set."""
    page.page.fill("#q", query)
    page.wait(
        lambda: page.js("location.hash") == page.js(f"'#q=' + encodeURIComponent({query!r})"), query
    )
    return page.messages()


def test_the_filter_reads_its_words(filled, told):
    """Words, phrases, levels, loggers, processes, programs and tracebacks choose records."""
    page, pid = filled, told.workers[0].pid
    paid, late, health, failed, raised = (record["text"] for record in RECORDS)
    assert seen_with(page, "order") == [paid, late, failed]
    assert seen_with(page, "order full") == [paid]
    assert seen_with(page, '"paid in"') == [paid]
    assert seen_with(page, "order -late") == [paid, failed]
    assert seen_with(page, "level:warning") == [late, failed, raised]
    assert seen_with(page, "logger:shop.cart") == [paid, late]
    assert seen_with(page, "logger:web logger:shop.pay") == [health, failed, raised]
    assert seen_with(page, "-logger:shop") == [health, raised]
    assert seen_with(page, f"process:{pid} has:traceback") == [raised]
    assert seen_with(page, "process:1 program:none") == []
    assert page.page.is_visible("#nomatch")
    assert "None of the last 5 records" in page.text("#nomatch")
    page.page.click("#nomatch button")
    assert page.messages() == [paid, late, health, failed, raised]
    page.page.click("#levels [data-l=error]")
    assert page.messages() == [failed, raised]
    page.page.click(".r:not([hidden]) .m:has-text('order failed')")
    page.page.click("text=Show what is around it")
    assert page.messages() == [paid, late, health, failed, raised]
    assert page.js("location.hash") == ""
    assert page.text("#cur .m span") == failed
    page.page.click("#wb button")
    assert page.page.input_value("#q") == f"process:{pid}"


def test_each_reason_pauses(filled):
    """Space, opening, selecting and scrolling pause the page, and it says which."""
    page = filled
    page.press("Space")
    assert page.text("#jump").startswith("Paused")
    page.press("Space")
    assert page.is_live
    page.page.click(".r:not([hidden]) .m:has-text('health')")
    assert "to read" in page.text("#jump")
    page.press("Escape")
    page.press("Escape")
    assert page.is_live
    page.js("getSelection().selectAllChildren(document.querySelector('.r:not([hidden]) .m span'))")
    page.wait(lambda: not page.is_live, "it is paused")
    assert "to select" in page.text("#jump")
    page.page.click("#jump button")
    assert page.is_live


def test_the_other_keys_work(filled):
    """Arrows, E, Home, End and 1 to 4 do what the help says; single keys can be switched off."""
    page = filled
    current = lambda: page.text("#cur .m span")  # noqa: E731
    page.page.focus("#view")
    for key, text in (
        ("Home", "order paid in full"), ("ArrowDown", "order paid late"),
        ("ArrowUp", "order paid in full"), ("e", "order failed"), ("e", "raised"),
        ("E", "order failed"),
    ):  # fmt: skip
        page.press(key)
        assert current() == text, key
    page.press("ArrowRight")
    assert page.page.is_visible(".d")
    page.press("ArrowLeft")
    assert not page.page.is_visible(".d")
    page.press("End")
    assert page.is_live
    page.press("?")
    page.page.uncheck("#single")
    page.press("Escape")
    page.js("document.activeElement.blur()")
    page.press("4")
    assert page.page.input_value("#q") == ""
    page.page.focus("#view")
    page.press("4")
    assert page.page.input_value("#q") == "level:error"


def test_several_rows_are_copied_as_lines(filled):
    """A copy of several rows is the file's lines, in the order of the page."""
    page = filled
    copied = page.js(
        "(() => { const rows = [...document.querySelectorAll('.r:not([hidden])')]"
        ".sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);"
        "getSelection().setBaseAndExtent(rows[0], 0, rows[1], rows[1].childNodes.length);"
        "const data = new DataTransfer();"
        "rows[0].dispatchEvent(new ClipboardEvent('copy', {clipboardData: data, bubbles: true,"
        "cancelable: true})); return data.getData('text/plain'); })()"
    )
    lines = copied.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("- order paid in full")
    assert " | WARNING " in lines[1]


def test_a_hidden_tab_s_title_counts_errors(scene, look):
    """The title of a page that is not looked at counts its errors; a look ends that."""
    page = look()
    page.js(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => window.away});"
        "window.away = true"
    )
    scene.log("one more", level="ERROR")
    page.wait(lambda: page.page.title() == "(1) app.log", "the title counts")
    page.js("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait(lambda: page.page.title() == "app.log", "the title counts no more")


def test_the_panel_is_a_tab_on_a_narrow_page(filled):
    """At 1,000 px the panel is a tab, and at 1,280 px beside the log."""
    page = filled
    page.page.set_viewport_size({"width": 1000, "height": 800})
    page.wait(lambda: not page.page.is_visible("aside"), "it is a tab")
    page.page.click("text=Workers and files")
    assert page.page.is_visible("aside")
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.wait(lambda: page.page.is_visible("aside") and page.page.is_visible("#view"), "both")


def test_a_standby_is_shown_and_then_the_log(scene, browser, tmp_path):
    """A page of a receiver that stands by says so, and shows the log once that has taken over."""
    port = free_port()
    words = ("--standby", "--status", f"tcp://127.0.0.1:{port}")
    waiting = ReceiverProcess(scene.sink, *words)
    page = browser.new_page()
    try:
        for _ in range(200):
            try:
                page.goto(f"http://127.0.0.1:{port}/")
                break
            except Exception:
                page.wait_for_timeout(100)
        page.wait_for_selector("#banner:not([hidden])")
        assert page.text_content("#state b") == "Standby"
        assert "This receiver stands by" in page.text_content("#banner")
        scene.receiver.kill()
        wait_until(
            lambda: (page.wait_for_timeout(50), page.text_content("#state b") == "Quiet")[1],
            30,
            "taken over",
        )
        assert page.is_hidden("#banner")
    finally:
        page.close()
        waiting.kill()
