"""The thread of an engine's connection ends when it is told to."""

from __future__ import annotations

import asyncio

from loguru_stdbridge.engine.link import end_tasks


def test_a_task_that_misses_its_cancellation_is_cancelled_again():
    """A task that swallows a cancellation, as ``wait_for`` did before Python 3.12, ends all the same."""

    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def failing():
        await asyncio.sleep(0)
        raise ValueError("seen")

    async def main():
        tasks = [asyncio.ensure_future(work()) for work in (stubborn, failing)]
        await asyncio.sleep(0)
        await end_tasks(tasks)
        assert tasks[0].cancelled()
        assert all(task.done() for task in tasks)

    asyncio.run(main())
