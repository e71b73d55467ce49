"""Call a WSGI app in this process, over and over, each time with an environ of its own.

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
from itertools import count

from bench.machine import cpu

#: What all environs have in common, in the order of a host.
COMMON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "",
    "QUERY_STRING": "",
    "REQUEST_URI": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40000",
    "HTTP_HOST": "127.0.0.1:8000",
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_UPGRADE_INSECURE_REQUESTS": "1",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.0.0 Safari/537.36",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8",
    "HTTP_SEC_FETCH_SITE": "same-origin",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_REFERER": "",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_ACCEPT_LANGUAGE": "en-GB,en;q=0.9",
    "HTTP_COOKIE": "",
    "HTTP_X_REQUEST_ID": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": None,
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
NUMBERS = count(6_420_000_000)


def environ():
    """As of a browser's request: path, query, Referer, cookie and id come once."""
    number = next(NUMBERS)
    path, query = f"/items/{number}", f"q={number}&page=1"
    new = COMMON.copy()
    new["PATH_INFO"] = path
    new["QUERY_STRING"] = query
    new["REQUEST_URI"] = f"{path}?{query}"
    new["HTTP_REFERER"] = f"http://127.0.0.1:8000/items/{number - 1}"
    new["HTTP_COOKIE"] = f"theme=dark; _ga=GA1.1.1804289383.{number}; session=6b07ce2a{number}"
    new["HTTP_X_REQUEST_ID"] = f"4f18500017ea96d0{number}"
    new["wsgi.input"] = io.BytesIO()
    return new


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
        done = 0
        while time.perf_counter() < end:
            for _ in range(20):
                if call(app) != size:
                    raise SystemExit("answered with a body of another size")
            done += 20
        counts.append(done)

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
