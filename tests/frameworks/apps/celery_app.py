"""Celery; the broker is a directory."""

from loguru_stdbridge import install_bridge

install_bridge()

import os
import signal

import said
from celery import Celery

os.makedirs("broker/processed", exist_ok=True)
application = Celery("celery_app", broker="filesystem://")
application.conf.broker_transport_options = {
    "data_folder_in": "broker",
    "data_folder_out": "broker",
    "control_folder": "broker",
}
application.conf.task_ignore_result = True


@application.task
def say():
    said.say()
    said.warn()
    said.end_thread()
    print("said by print")


@application.task
def fail():
    said.fail()


@application.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)
