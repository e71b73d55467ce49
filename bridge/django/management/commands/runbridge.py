"""``manage.py runbridge``: the project on the bridge's server, for development (M31).

It is `runserver`, with its arguments, checks and Django's own reloader, but for the server: that is
the bridge's, so views run as they will in production.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.contrib.staticfiles.management.commands import runserver
from django.core.handlers.asgi import ASGIHandler
from django.core.management.base import CommandError
from django.db import connections
from django.utils import autoreload
from django.utils.module_loading import import_string

import bridge
from bridge.django.app import DjangoApp, application
from bridge.errors import BridgeError


class Command(runserver.Command):  # type: ignore[misc]
    """The command."""

    help = (
        "Serves the project by asgi-bridge, for development: synchronous views in threads, async "
        "views on the event loop, and static files."
    )

    def add_arguments(self, parser: Any) -> None:
        """Add the arguments of runserver, and how synchronous views run."""
        super().add_arguments(parser)
        parser.add_argument("--threads", type=int, help="Threads for synchronous views.")
        parser.add_argument("--runner", help="How synchronous views run: thread, greenlet, inline.")

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return the project as one app.

        It is that of ``ASGI_APPLICATION``, if that was made by `bridge.django.application`, or is
        an app of ours that may have one in it, as a `Dispatcher`. Django's own handler there says
        nothing new, and another app takes WebSockets only.
        """
        static = options["use_static_handler"] and apps.is_installed("django.contrib.staticfiles")
        static = static and (settings.DEBUG or options["insecure_serving"])
        name = getattr(settings, "ASGI_APPLICATION", None)
        own = import_string(name) if name else None
        given = _runner_settings(options)
        if isinstance(own, DjangoApp):
            return own.again(static=static, **given)
        if type(own).__module__.partition(".")[0] == "bridge":
            return ASGIStaticFilesHandler(own) if static else own
        if isinstance(own, ASGIHandler):
            own = None
        return application(websocket=own, static=static, **given)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Check the project, and serve it; the reloader calls this, in a thread."""
        autoreload.raise_last_exception()
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()
        self.stdout.write(
            f"Django version {django.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
        )
        host = "0.0.0.0" if self.addr == "0" else self.addr
        try:
            app = self.get_handler(*args, **options)
            given = {} if isinstance(app, DjangoApp) else _runner_settings(options)
            bridge.serve(app, host=host, port=int(self.port), **given)
        except BridgeError as error:
            if not options["use_reloader"]:
                raise CommandError(str(error)) from error
            self.stderr.write(f"Error: {error}")
            os._exit(1)  # from a thread; as runserver does
        except KeyboardInterrupt:
            sys.exit(0)


def _runner_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was said on how synchronous views run. Raises `CommandError`."""
    given = {name: options[name] for name in ("threads", "runner") if options[name] is not None}
    if not options["use_threading"]:
        if given.get("threads", 1) != 1:
            raise CommandError(
                f"--nothreading is one thread, and --threads={given['threads']} says otherwise; "
                "leave one of them out"
            )
        given["threads"] = 1
    return given
