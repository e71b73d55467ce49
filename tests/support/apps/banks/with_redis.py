"""A Flask app over redis-py, with a pool of `BANK_POOL` connections; `BANK_URL` is a Redis.

A request `/NUMBER` counts itself in a transaction and waits for `?sleep=0.2` in the database for
something that never comes; `/peak` tells how many did at once.
"""

from __future__ import annotations

import os

from flask import Flask, Response, g, jsonify, request
from redis import BlockingConnectionPool, Redis

from bridge import WsgiToAsgi
from tests.support.apps.banks import Peak, pause

pool = BlockingConnectionPool.from_url(
    os.environ["BANK_URL"],
    max_connections=int(os.environ.get("BANK_POOL", 50)),
    timeout=100,
    decode_responses=True,
)
store = Redis(connection_pool=pool)
peak = Peak()
app = wsgi = Flask(__name__)


@app.get("/<int:number>")
def run(number: int) -> Response:
    """Count this request, and wait."""
    sleep, wait = float(request.args.get("sleep", 0)), float(request.args.get("pause", 0))
    mine = f"request:{number}"
    g.number = number
    with store.pipeline() as transaction:  # it has one connection until its end
        transaction.watch(mine)
        pause(wait)
        transaction.multi()
        transaction.set(mine, number)
        transaction.incr("count")
        done = transaction.execute()
    with peak.inside():
        nothing = store.blpop([f"none:{number}"], timeout=sleep)
    seen = [g.number, store.get(mine), nothing]
    return jsonify(transaction=done[0], count=done[1], seen=seen)


@app.get("/peak")
def most() -> Response:
    """How many waited at the same time."""
    return jsonify(most=peak.most)


asgi = WsgiToAsgi(wsgi, runner="greenlet")
