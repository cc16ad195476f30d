"""Loguru's own tests as a check of ours: what a local sink does, a receiver does too.

Loguru's tests are in no wheel and in no sdist, so the command needs a checkout of its repository.
None of them is copied here. It runs them through the bridge (``through_the_bridge.py``), with the
Loguru of the checkout, and those that fail once more as they are. A test that fails through the
bridge alone is a difference. ``differences.py`` lists those that are on purpose, each with its
reason. Any other difference fails, and so does an entry of the list that has become equal.

    git clone https://github.com/Delgan/loguru /tmp/loguru
    python -m pip install freezegun pytest-mypy-plugins exceptiongroup
    python -m tests.loguru_suite /tmp/loguru
"""
