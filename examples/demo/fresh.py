"""The new shop of the demo: that of `ramp_flask`, with a home page. It can be broken, by a file."""

from __future__ import annotations

import os
import random
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import select

from new.fixed import router as fixed
from new.shop import READ, Database, Visitor, make_app
from new.tables import Item

#: While this file is there, so many percent of the requests fail.
BROKEN = Path(os.environ["DEMO_FOLDER"], "broken")
FAILING = float(os.environ["DEMO_FAILING"])

router = APIRouter()
router.include_router(fixed)
templates = Jinja2Templates(Path(__file__).parent)


@router.api_route("/", methods=READ)
def home(request: Request, db: Database, visitor: Visitor) -> HTMLResponse:
    items = db.scalars(select(Item).order_by(Item.id)).all()
    who = visitor.name if visitor else "nobody"
    return templates.TemplateResponse(request, "home.html", {"items": items, "who": who})


shop = make_app(router)


def is_broken():
    return BROKEN.exists()


async def app(scope, receive, send):
    """Answer by the new shop, or fail as a broken release does: by an exception."""
    if scope["type"] == "http" and is_broken() and random.random() * 100 < FAILING:
        raise RuntimeError("the new shop is broken: somebody has pressed the button of the demo")
    await shop(scope, receive, send)
