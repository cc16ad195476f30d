"""Django in one file: its manage.py, its settings and its views."""

from loguru_stdbridge import install_bridge

install_bridge()

import sys

import said
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="of a test", ALLOWED_HOSTS=["*"]
)  # fmt: skip
urlpatterns = [path("<str:name>", lambda request, name: HttpResponse(said.answer(f"/{name}")))]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
