"""The stack of 2017 as one server: daphne 1, asgi_redis and a worker of Channels 1, on CPython 3.7.

``python -m bench.peers.daphne_main PORT``. It is also the settings of their Django project.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.peers.channels_main import with_redis

SECRET_KEY = "of the benchmark"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
ROOT_URLCONF = "bench.peers.daphne_routes"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ.get("BENCH_REDIS", "")]},
        "ROUTING": "bench.peers.daphne_routes.routes",
    }
}


def _commands(port: str) -> list[list[str]]:
    daphne = [str(Path(sys.executable).parent / "daphne"), "-b", "127.0.0.1", "-p", port]
    return [
        [sys.executable, "-m", "django", "runworker", "--verbosity=0"],
        [*daphne, "--verbosity=0", "bench.peers.daphne_layer:channel_layer"],
    ]


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.peers.daphne_main"
    with_redis(lambda _: _commands(sys.argv[1]))
