"""The old app, in Flask: what the new one has to answer."""

from __future__ import annotations

import itertools
import time

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

app = Flask(__name__)
_visits = itertools.count()
_orders: list[str] = []


@app.get("/items/<int:number>")
def item(number: int) -> Response:
    """An item: a price as a decimal is written, a note that is null."""
    text = f'{{"id": {number}, "price": {number}.90, "note": null, "visits": {next(_visits)}}}'
    return Response(text, content_type="application/json")


@app.get("/shelf")
def shelf() -> AnyResponse:
    """A redirect, with a slash at its end, as Flask makes them."""
    return redirect("/shelf/")


@app.get("/same")
def same() -> dict[str, object]:
    """What both answer alike, each with its keys in an order of its own."""
    return {"b": [1, 2], "a": "text"}


@app.get("/page")
def page() -> str:
    """A page for people, who has logged in by a cookie or a header."""
    who = request.cookies.get("who", request.headers.get("X-Who", "nobody"))
    return f"<p>Hello\r\n   {who}</p>"


@app.get("/slow")
def slow() -> str:
    """Answers late."""
    time.sleep(1.5)
    return "late"


@app.route("/orders", methods=["GET", "POST"])
def orders() -> AnyResponse:
    """Takes orders, logs in, and says how many there are."""
    if request.method == "POST":
        _orders.append(request.get_data(as_text=True))
    answer = Response(str(len(_orders)), content_type="text/plain; charset=utf-8")
    answer.set_cookie("who", "old", httponly=True)
    return answer
