"""The status page in a real headless Chromium, against a real receiver and real workers.

Needs the extra ``browser``, and a Chromium: Debian's package ``chromium``, or Playwright's own. Where
one of them is missing, the tests are skipped.
"""
