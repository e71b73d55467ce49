"""The first release of the new shop. In four places it is not what the old one is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from new.shop import Database, ItemOfPath, make_app
from new.tables import Item

router = APIRouter()


@router.get("/api/items")
def items(db: Database) -> dict[str, Any]:
    return {"items": [as_json(item) for item in db.scalars(select(Item).order_by(Item.id))]}


@router.get("/api/items/{number}")
def item(item: ItemOfPath) -> dict[str, Any]:
    return as_json(item)


def as_json(item: Item) -> dict[str, Any]:
    """Describe an item; what it has not is left out."""
    found = {"id": item.id, "name": item.name, "price": float(item.price)}
    if item.note:
        found["note"] = item.note
    return found


@router.get("/sale")
def sale() -> RedirectResponse:
    return RedirectResponse("/reduced", 302)


app = make_app(router)
