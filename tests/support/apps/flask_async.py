"""A Flask app with async views: Flask imports asgiref at the first of them, and not before."""

from __future__ import annotations

import asyncio
import sys
import threading

from flask import Flask, g

app = Flask(__name__)
assert "asgiref" not in sys.modules, "then the first async view would not be the first import"
loops: set[asyncio.AbstractEventLoop] = set()


@app.get("/async")
async def asynchronous() -> str:
    """How many loops async views have run on so far, and in which thread."""
    g.seen = "here"
    await asyncio.sleep(0.001)
    loops.add(asyncio.get_running_loop())
    return f"{len(loops)} {threading.current_thread().name} {g.seen}"


@app.get("/plain")
def plain() -> str:
    """No async view."""
    return "plain"
