"""The status page does in a browser what its design promises."""

from __future__ import annotations

import importlib.util
import re
import signal

import pytest

from tests.browser.scene import find_chromium

pytest.importorskip("playwright", reason="needs the extra: pip install '.[browser]'")

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


def test_five_thousand_records_a_second_leave_the_page_small(scene, look, tell):
    """A page under 5,000 records a second keeps few rows, tells what it left out, and stays live."""
    page = look()
    for worker in range(2):
        scene.order(worker, text="fast {number}", count=12_500, rate=2500)
    page.wait(lambda: "left out" in (page.text("#size") or ""), "it is told what is left out")
    rows = page.js("document.querySelectorAll('.r').length")
    for worker in range(2):
        scene.wait(worker)
    page.wait(lambda: page.text("#written dd") == "25.0 k", "all are counted")
    rows = max(rows, page.js("document.querySelectorAll('.r').length"))
    longest = max([0, *page.js("tasks")])
    tell(f"longest task {longest:.0f} ms, {rows} rows in the page")
    assert rows <= 80
    assert page.js("[...document.querySelectorAll('.r:not([hidden])')].length") <= 40
    assert page.is_live


def test_no_row_moves_while_it_is_paused(scene, look):
    """A paused page is frozen: no row moves or goes, and what comes is counted."""
    page = look()
    scene.log("before {number}", count=300)
    page.sees("before 299")
    page.press("Space")
    frozen = "JSON.stringify([...document.querySelectorAll('.r:not([hidden])')].map(r => [r.style.transform, r.textContent]))"
    before = page.js(f"[{frozen}, document.getElementById('view').scrollTop]")
    scene.log("while {number}", count=6000)
    scene.log("bad", level="ERROR")
    page.wait(lambda: "1 error" in page.text("#jump"), "it is counted")
    assert page.js(f"[{frozen}, document.getElementById('view').scrollTop]") == before
    assert re.search(r"Paused · [\d,]+ new, 1 error", page.text("#jump"))
    page.press("G")
    page.sees("bad")
    assert page.is_live


def test_scrolling_pauses_and_the_bottom_resumes(scene, look):
    """A hand that scrolls up pauses the page, and the bottom of it resumes."""
    page = look()
    scene.log("row {number}", count=300)
    page.sees("row 299")
    page.page.mouse.move(300, 400)
    page.page.mouse.wheel(0, -600)
    page.wait(lambda: not page.is_live, "it is paused")
    assert "by scrolling" in page.text("#jump")
    page.page.mouse.wheel(0, 100_000)
    page.wait(lambda: page.is_live, "it is live")


def test_banner_and_resize_do_not_pause(scene, look):
    """A view that only changes its height, by a window's size or a banner, stays live."""
    resource = pytest.importorskip("resource", reason="needs limits of POSIX")
    page = look()
    scene.log("row {number}", count=300)
    page.sees("row 299")
    page.page.set_viewport_size({"width": 1280, "height": 500})
    page.page.set_viewport_size({"width": 1280, "height": 900})
    page.wait(lambda: page.is_live, "it is live")
    pid = scene.receiver.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    scene.order(text="held")
    page.wait(lambda: page.page.is_visible("#banner"), "the banner is there")
    assert "cannot be written" in page.text("#banner")
    assert "File too large" in page.text("#banner")
    assert page.text("#state b") == "Cannot write"
    assert page.is_live
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    scene.wait()
    page.sees("held")
    page.wait(lambda: not page.page.is_visible("#banner"), "the banner is gone")
    assert page.is_live


def test_html_codes_and_bidi_are_text(scene, look):
    """A record whose message, logger and level are markup, codes or bidi is shown as text."""
    page = look()
    html = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    scene.log("{{markup}} " + html, logger="<b onclick=hacked=1>logger</b>", level=21)
    scene.log("\x1b[31mred\x1b[0m \x07 \u202eback\u2069 \u200bx")
    page.sees("red ␇ ‹U+202E›back‹U+2069› ‹U+200B›x")  # noqa: RUF001
    page.sees("{markup} " + html)
    assert "<b onclick=hacked=1>logger</b>" in page.text("#size")
    assert page.js(
        "[window.hacked, document.querySelectorAll('#size img, #size script, #size b').length]"
    ) == [None, 0]
    page.press("Escape")
    page.page.click(".r:has-text('markup') .m")
    page.wait(lambda: page.page.is_visible(".d"), "it is open")
    assert page.js("document.querySelectorAll('.d img, .d script').length") == 0


def test_every_key_works_and_none_while_typing(scene, look):
    """Each key does its part, and a text field takes keys as letters."""
    page = look()
    scene.log("first")
    scene.log("failed", fails=True)
    scene.log("row {number}", count=60)
    scene.log("slow", level="WARNING")
    page.sees("slow")
    page.press("Space")
    assert not page.is_live
    page.press("g")
    page.wait(lambda: "first" in page.messages(), "the oldest is seen")
    current = lambda: page.text("#cur .m span")  # noqa: E731
    assert current() == "first"
    page.press("j")
    assert current() == "failed"
    page.press("Enter")
    page.wait(lambda: "KeyError: 'key'" in (page.text(".d") or ""), "it is open")
    page.press("Escape")
    assert not page.page.is_visible(".d")
    page.press("k")
    assert current() == "first"
    page.press("e")
    assert current() == "failed"
    page.press("c")
    page.wait(lambda: page.text("#say") == "Copied", "it is copied")
    page.press("G")
    assert page.is_live
    page.press("4")
    assert page.page.input_value("#q") == "level:error"
    assert page.messages() == ["failed"]
    page.press("m")
    page.wait(lambda: len(page.messages()) > 1, "the others are shown, too")
    page.press("m")
    page.press("3")
    assert page.page.input_value("#q") == "level:warning"
    page.press("2")
    page.press("1")
    assert page.page.input_value("#q") == ""
    page.press("w")
    assert page.page.get_attribute("#wrap", "aria-pressed") == "true"
    page.press("s")
    assert not page.page.is_visible("aside")
    page.press("z")
    assert page.text("#zone").startswith("Time")
    page.press("?")
    assert page.page.is_visible("#keys")
    page.press("Escape")
    page.press("/")
    page.page.keyboard.type("row 5wsjkegG4m")
    assert page.page.input_value("#q") == "row 5wsjkegG4m"
    page.wait(lambda: page.page.is_visible("#nomatch"), "nothing matches")
    page.press("Escape")
    assert page.page.input_value("#q") == ""
    page.page.fill("#q", "row 1")
    page.press("Enter")
    page.wait(lambda: "row 10" in page.messages() and "row 2" not in page.messages(), "it matches")
    page.press("n")
    page.press("N")
    assert not page.is_live


def test_a_reconnect_doubles_nothing(scene, look):
    """A page that loses its receiver says so, comes back, and shows each record once."""
    page = look()
    scene.log("before {number}", count=8)
    page.sees("before 7")
    scene.receiver.process.send_signal(signal.SIGSTOP)
    page.wait(lambda: page.text("#state b") == "Connection lost", "it is told")
    assert page.page.is_visible("#banner")
    scene.receiver.process.send_signal(signal.SIGCONT)
    scene.log("while {number}", count=4)
    page.page.click("#retry")
    page.sees("while 3")
    assert page.messages() == [f"before {n}" for n in range(8)] + [f"while {n}" for n in range(4)]
    scene.receiver.kill()
    scene.receiver.start()
    scene.receiver.wait_ready()
    scene.log("after")
    page.sees("after")
    assert len(page.messages()) == len(set(page.messages())) == 13
    assert "restarted" in page.text("#size")


def test_links_lead_where_they_say(scene, look):
    """A filter and a record live in the address; loggers and processes filter; files are fetched."""
    scene.log("one {number}", count=3, logger="shop.pay")
    scene.log("two", logger="other")
    page = look("#q=logger%3Ashop")
    page.sees("one 2")
    assert page.messages() == ["one 0", "one 1", "one 2"]
    page = look("#at=2")
    page.wait(lambda: page.page.is_visible(".d"), "the record is open")
    assert page.text("#cur .m span") == "one 1"
    page.press("G")
    page.page.click(".r:not([hidden]) .g button:text-is('other')")
    assert page.page.input_value("#q") == "logger:other"
    assert page.js("location.hash") == "#q=logger%3Aother"
    page.page.click("#clear")
    page.page.click(".r:not([hidden]) .g button:text-is('other')", modifiers=["Alt"])
    assert page.page.input_value("#q") == "-logger:other"
    with page.page.expect_download() as download:
        page.page.click("#files a")
    assert open(download.value.path()).read() == scene.sink.read_text()


def axe(page):
    """Return the rules that the page breaks, by axe-core."""
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None:
        pytest.skip("needs axe-core: pip install '.[browser]'")
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page.page).response["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(scene, look, scheme, width):
    """The page breaks no rule of axe-core, contrast included, in both schemes and on a phone."""
    page = look(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    for level in ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"):
        scene.log(f"at {level}", level=level)
    scene.log("failed", fails=True)
    page.sees("failed")
    assert axe(page) == []
    page.page.click(".r:has-text('failed') .m")
    page.wait(lambda: page.page.is_visible(".d"), "it is open")
    assert axe(page) == []
    background = page.js("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(245, 246, 248)", "dark": "rgb(13, 16, 21)"}[scheme]


def test_a_phone_has_two_lines_a_row_and_large_targets(scene, look):
    """At 390 px nothing overflows, rows have two lines, and targets are 38 px or more."""
    page = look(viewport={"width": 390, "height": 800})
    scene.log(
        "a message that is rather long for a phone, " * 5, logger="a.long.logger.of.a.program" * 3
    )
    page.wait(lambda: page.messages(), "it is seen")
    assert page.js("document.documentElement.scrollWidth") == 390
    assert page.js("document.querySelector('.r:not([hidden]) .c').offsetHeight") == 44
    sizes = page.js(
        "[...document.querySelectorAll('.bar button, .tabs button')].filter(b => b.offsetParent).map(b => b.offsetHeight)"
    )
    assert min(sizes) >= 24
    page.page.click("text=Workers and files")
    assert page.page.is_visible("aside")
    assert not page.page.is_visible("#view")


def test_nothing_yet_says_how_to_begin(scene, look):
    """A page of an empty log says what to put into a worker, and is quiet."""
    page = look()
    page.wait(lambda: page.page.is_visible("#none"), "it is told")
    assert f'install_bridge("log://{scene.sink}")' in page.text("#none")
    page.wait(lambda: page.text("#state b") == "Quiet", "it is quiet")
    assert "no record yet" in page.text("#state")
