"""The WSGI hosts of the contract suite: how each is started, and what each can."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.support import hosts
from tests.support.hosts import ROOT, Command

APP = "tests.contract.asgi_on_wsgi.app:application"

#: mod_wsgi is built for Debian's own Python, whose environment is not ours; see `mod_wsgi`.
MODULES = Path("/usr/lib/apache2/modules")

APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
Mutex file:{folder}
ErrorLog /dev/stderr
LogLevel warn
User %(user)s
Group %(group)s
LoadModule mpm_event_module %(modules)s/mod_mpm_event.so
LoadModule authz_core_module %(modules)s/mod_authz_core.so
LoadModule wsgi_module %(modules)s/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
WSGIChunkedRequest On
WSGIDaemonProcess contract processes=1 threads=8 python-path=%(path)s
WSGIProcessGroup contract
WSGIApplicationGroup %%{GLOBAL}
WSGIScriptAlias / {folder}/app.wsgi
<Directory />
  Require all granted
</Directory>
"""


@dataclass(frozen=True)
class WsgiHost:
    """A host, and what the suite may expect of it beyond PEP 3333."""

    command: Command
    #: Takes uploads without Content-Length.
    chunked: bool = True
    #: The client can tell a cut-off response from a whole one (chunked encoding).
    tells_cut_off: bool = True
    #: One process serves many requests, some of them at the same time.
    parallel: bool = True
    persistent: bool = True
    #: Sends the head before the first piece of the body.
    sends_head_first: bool = True
    #: Gives its sockets away for WebSockets.
    gives_socket: bool = False
    #: Lets the app see, before it sends, that the client is gone.
    tells_disconnect: bool = False
    #: Chunks a response without a length, and sends the last chunk even if that answers a HEAD:
    #: waitress always, gevent's pywsgi if the app has not ended when its head is told.
    chunks_head: bool = False

    @property
    def name(self) -> str:
        return self.command.name


def own(name: str, target: str = APP) -> Command:
    """A host that `serve` runs."""
    module = "tests.contract.asgi_on_wsgi.serve"
    return hosts.python(name, "-m", module, name, target, "{port}")


def uwsgi(target: str = APP, *options: str) -> Command:
    """uWSGI, with a master that forks after the app was loaded."""
    binary = Path(sys.executable).with_name("uwsgi")
    return Command(
        "uwsgi",
        (
            str(binary), "--http-socket=127.0.0.1:{port}", f"--module={target}", "--master",
            "--enable-threads", "--threads=8", "--need-app", "--die-on-term", "--disable-logging",
            f"--virtualenv={sys.prefix}", f"--pythonpath={ROOT}",
            *options,
        ),
    )  # fmt: skip


def mod_wsgi(target: str = APP) -> Command:
    """Apache with mod_wsgi in daemon mode, on Debian's Python.

    The pure parts of what is installed here serve that Python too; uvloop, which is compiled for
    ours, is not found there, and asyncio's own loop is used.
    """
    module, _, name = target.partition(":")
    path = f"{ROOT}:{sysconfig.get_path('purelib')}"
    user, group = ("www-data", "www-data") if os.getuid() == 0 else ("#-1", "#-1")
    listen = f"Listen {hosts.ADDRESS}:{{port}}"
    return Command(
        "mod_wsgi",
        (apache() or "", "-f", "{folder}/apache.conf", "-c", listen, "-DFOREGROUND"),
        files={
            "app.wsgi": f"from {module} import {name} as application\n",
            "apache.conf": APACHE
            % {"modules": MODULES, "path": path, "user": user, "group": group},
        },
    )


def apache() -> str | None:
    """Where Apache is; Debian keeps it off the path of ordinary users."""
    return shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_no_mod_wsgi() -> str:
    """Why mod_wsgi cannot be tried here; empty if it can."""
    if apache() is None or not (MODULES / "mod_wsgi.so").exists():
        return "needs Debian's apache2 and libapache2-mod-wsgi-py3 (scripts/system-packages test)"
    if os.getuid() == 0:
        closed = [folder for folder in [ROOT, *ROOT.parents] if not folder.stat().st_mode & 0o001]
        if closed:
            return f"Apache's workers are not root, and may not look into {closed[-1]}"
    return ""


def all_hosts() -> list[WsgiHost]:
    """Every host of the suite, mod_wsgi included whether it is there or not."""
    lookahead = "--channel-request-lookahead=1"
    return [
        WsgiHost(
            hosts.gunicorn(APP, worker="sync"),
            parallel=False,
            tells_disconnect=True,
            gives_socket=True,
        ),
        WsgiHost(
            hosts.gunicorn(APP, worker="gthread", threads=8),
            tells_disconnect=True,
            gives_socket=True,
        ),
        WsgiHost(hosts.gunicorn(APP, worker="gevent"), tells_disconnect=True, gives_socket=True),
        WsgiHost(own("pywsgi"), sends_head_first=False, gives_socket=True, chunks_head=True),
        WsgiHost(
            hosts.waitress(APP, "--threads=8", lookahead),
            sends_head_first=False,
            tells_disconnect=True,
            chunks_head=True,
        ),
        WsgiHost(hosts.cheroot(APP), sends_head_first=False),
        WsgiHost(uwsgi(), chunked=False, tells_cut_off=False),
        WsgiHost(own("wsgiref"), chunked=False, tells_cut_off=False, parallel=False),
        WsgiHost(own("werkzeug"), tells_disconnect=True, gives_socket=True),
        WsgiHost(own("cgi"), chunked=False, tells_cut_off=False, persistent=False),
        WsgiHost(mod_wsgi(), sends_head_first=False, tells_cut_off=False),
    ]
