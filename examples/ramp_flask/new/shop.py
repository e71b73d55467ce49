"""What all releases of the new shop have: the session of the old one, cart, pictures, stock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi import WebSocket as Socket
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import HTTPConnection
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy.orm import Session

from bridge.sessions import FlaskSession
from new.tables import Item, User, database, engine

router = APIRouter()
READ = ["GET", "HEAD"]  # Flask answers HEAD by itself
templates = Jinja2Templates(Path(__file__).parent / "templates")
Database = Annotated[Session, Depends(database)]


def make_app(release: APIRouter) -> FastAPI:
    """Make the new shop with the routes of a release."""
    app = FastAPI()
    app.add_middleware(
        FlaskSession,
        secret_key=os.environ.get("SHOP_SECRET_KEY", "only on your own machine"),
        session_cookie_samesite="Lax",
    )
    app.include_router(release)
    app.include_router(router)
    return app


# ------------------------------------------------------------- who asks


def user_of(connection: HTTPConnection, db: Database) -> User | None:
    """Find who has logged in: on the old side, by Flask-Login."""
    number = connection.session.get("_user_id")
    return None if number is None else db.get(User, int(number))


Visitor = Annotated[User | None, Depends(user_of)]


def item_of(number: int, db: Database) -> Item:
    """Find the item of a path."""
    item = db.get(Item, number)
    if item is None:
        raise HTTPException(404)
    return item


ItemOfPath = Annotated[Item, Depends(item_of)]


# ------------------------------------------------------------- the cart


@router.api_route("/cart", methods=READ)
def cart(request: Request, db: Database, visitor: Visitor) -> HTMLResponse:
    items = [db.get(Item, number) for number in request.session.get("cart", [])]
    who = visitor.name if visitor else "nobody"
    return templates.TemplateResponse(request, "cart.html", {"items": items, "who": who})


@router.post("/cart/{number}")
def add(request: Request, item: ItemOfPath) -> RedirectResponse:
    request.session["cart"] = [*request.session.get("cart", []), item.id]
    return RedirectResponse("/cart", 302)


# ------------------------------------------------------------- pictures, and the stock


@router.api_route("/pictures/{number}", methods=READ)
def picture(item: ItemOfPath) -> Response:
    if item.picture is None:
        raise HTTPException(404)
    return Response(item.picture, media_type="image/png")


@router.post("/pictures/{number}")
def upload(item: ItemOfPath, picture: UploadFile, db: Database, visitor: Visitor) -> Any:
    if visitor is None:
        raise HTTPException(401)
    item.picture = picture.file.read()
    db.commit()
    return RedirectResponse("/", 302)


@router.websocket("/stock")
async def stock(socket: Socket, visitor: Visitor) -> None:
    who = visitor.name if visitor else "nobody"
    await socket.accept()
    async for number in socket.iter_text():
        left = await run_in_threadpool(left_of, int(number))
        await socket.send_text(f"{left} left for {who}")


def left_of(number: int) -> int:
    """Return how many there are of an item."""
    with Session(engine) as db:
        item = db.get(Item, number)
        return item.stock if item else 0
