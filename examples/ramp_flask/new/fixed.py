"""The second release: what differed is mended, but for a price, which may be written so."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from new.shop import READ, Database, ItemOfPath, make_app
from new.tables import Item

router = APIRouter()


@router.api_route("/api/items", methods=READ)
def items(db: Database) -> dict[str, Any]:
    return {"items": [as_json(item) for item in db.scalars(select(Item).order_by(Item.id))]}


@router.api_route("/api/items/{number}", methods=READ)
def item(item: ItemOfPath) -> dict[str, Any]:
    return as_json(item)


def as_json(item: Item) -> dict[str, Any]:
    """Describe an item; 9.90 is 9.9 here, which is the same number."""
    return {"id": item.id, "name": item.name, "price": float(item.price), "note": item.note}


@router.api_route("/sale", methods=READ)
def sale() -> RedirectResponse:
    return RedirectResponse("/reduced/", 302)


app = make_app(router)
