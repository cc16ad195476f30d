"""A page that looks at a scene."""

from __future__ import annotations

from tests.support.waiting import wait_until

WATCH = """
window.reports = []; window.tasks = [];
addEventListener('securitypolicyviolation', e => reports.push(e.violatedDirective + ' ' + e.blockedURI));
new PerformanceObserver(l => l.getEntries().forEach(e => tasks.push(e.duration))).observe({entryTypes: ['longtask']});
"""


class Look:
    """A page that looks at a scene."""

    def __init__(self, browser, scene, path="", **options):
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "timezone_id": "UTC", **options}
        )
        self.page = self.context.new_page()
        self.page.add_init_script(WATCH)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(scene.url + path)
        self.wait(lambda: self.text("#path b") == "app.log", "it is greeted")

    def js(self, code):
        return self.page.evaluate(code)

    def text(self, selector):
        return self.page.text_content(selector)

    def messages(self):
        """The messages in sight, from the top."""
        return self.js(
            "[...document.querySelectorAll('.r:not([hidden]):not(.gap)')]"
            ".sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
            ".map(r => r.querySelector('.m span').textContent)"
        )

    def wait(self, condition, what):
        wait_until(lambda: (self.page.wait_for_timeout(50), condition())[1], 30, what)

    def sees(self, text):
        self.wait(lambda: text in self.messages(), f"{text!r} is seen")

    def press(self, key):
        self.page.keyboard.press(key)

    @property
    def is_live(self):
        return self.text("#pause") == "Pause"

    def leave(self):
        """Close it; an error of the page, or a report of its policy, fails the test."""
        assert self.errors == []
        assert self.js("reports") == []
        self.context.close()
