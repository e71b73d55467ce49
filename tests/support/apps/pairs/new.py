"""The new app, in FastAPI, with three differences: a null, a number, a slash."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

app = FastAPI()
_orders: list[bytes] = []


@app.get("/items/{number}")
async def item(number: int) -> dict[str, object]:
    """An item, as Pydantic would write it; it has its own count of visits."""
    return {"id": number, "price": number + 0.9, "visits": -1}


@app.get("/shelf")
async def shelf() -> RedirectResponse:
    """A redirect, without a slash at its end."""
    return RedirectResponse("/shelves", 302)


@app.get("/same")
async def same() -> dict[str, object]:
    """What both answer alike."""
    return {"a": "text", "b": [1, 2]}


@app.get("/page")
async def page(request: Request) -> HTMLResponse:
    """A page for people, who has logged in by a cookie or a header."""
    who = request.cookies.get("who", request.headers.get("x-who", "nobody"))
    return HTMLResponse(f"<p>Hello {'old' if who == 'new' else who}</p>")


@app.get("/slow")
async def slow() -> PlainTextResponse:
    """Answers at once."""
    return PlainTextResponse("late")


@app.api_route("/orders", methods=["GET", "POST"])
async def orders(request: Request) -> PlainTextResponse:
    """Takes orders, logs in, and says how many there are."""
    if request.method == "POST":
        _orders.append(await request.body())
    answer = PlainTextResponse(str(len(_orders)))
    answer.set_cookie("who", "new", httponly=True, samesite=None)
    return answer
