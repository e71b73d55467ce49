"""Call a WSGI app in this process, over and over.

``python -m bench.in_process.calls APP SECONDS THREADS``

Prints ``{"rate": ..., "cpu_us": ..., "others_busy": ...}``: requests per second; CPU time per
request of all threads together, those of the app's own event loop included; and the share of the
machine that other processes took meanwhile.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import threading
import time

from bench.machine import cpu


def environ():
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "REQUEST_URI": "/",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def call(app):
    """One request as a host makes it; gives the number of bytes of its body."""
    heads = []
    chunks = app(environ(), lambda status, headers, exc_info=None: heads.append(status))
    try:
        size = sum(map(len, chunks))
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    if heads != ["200 OK"]:
        raise SystemExit(f"answered {heads}")
    return size


def load(app, seconds, threads):
    size = call(app)
    counts = []

    def caller():
        count = 0
        while time.perf_counter() < end:
            for _ in range(20):
                if call(app) != size:
                    raise SystemExit("answered with a body of another size")
            count += 20
        counts.append(count)

    callers = [threading.Thread(target=caller) for _ in range(threads)]
    busy, used, began = machine_busy(), time.process_time(), time.perf_counter()
    end = began + seconds
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    wall, used = time.perf_counter() - began, time.process_time() - used
    others = max(machine_busy() - busy - used, 0.0) / (wall * os.cpu_count())
    return {
        "rate": sum(counts) / wall,
        "cpu_us": used / sum(counts) * 1e6,
        "others_busy": others,
    }


def machine_busy():
    """Seconds for which all cores together have worked for anyone so far."""
    return sum(cpu.busy(core) for core in range(os.cpu_count()))


def main():
    target, seconds, threads = sys.argv[1:]
    module, _, attribute = target.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    load(app, min(0.3, float(seconds)), int(threads))
    print(json.dumps(load(app, float(seconds), int(threads))))


if __name__ == "__main__":
    main()
