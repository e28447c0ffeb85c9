#!/usr/bin/env python
"""
Serve the site on a port of loopback, as ``runserver`` does, but at full speed.

Django's own server sends the head and the body of an answer apart, and TCP holds the second back for 40 ms until the
client has confirmed the first. That would hide what the demo measures. It also serves the static files without DEBUG.
"""

from __future__ import annotations

import os
import sys

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


class PromptHandler(WSGIRequestHandler):
    """Send each part at once."""

    disable_nagle_algorithm = True


def main(port: int) -> None:
    """Serve until the process is ended."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    application = StaticFilesHandler(get_wsgi_application())
    server = ThreadedWSGIServer(("127.0.0.1", port), PromptHandler)
    server.set_app(application)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
