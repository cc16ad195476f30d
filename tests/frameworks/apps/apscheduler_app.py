"""APScheduler with a pool of processes."""

from loguru_stdbridge import install_bridge

install_bridge()

import threading

import said
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

if __name__ == "__main__":
    scheduler = BackgroundScheduler(executors={"default": ProcessPoolExecutor(1)})
    done = threading.Semaphore(0)
    scheduler.add_listener(lambda event: done.release(), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.add_job(said.say_all, misfire_grace_time=60)
    scheduler.add_job(said.fail, misfire_grace_time=60)
    scheduler.start()
    done.acquire(timeout=60)
    done.acquire(timeout=60)
    scheduler.shutdown()
