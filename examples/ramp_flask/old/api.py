"""The blueprint for other programs: the items as JSON, which a template writes."""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template

from old.models import Item, session

api = Blueprint("api", __name__, url_prefix="/api")


@api.get("/items")
def items():
    return json_of(session.query(Item).order_by(Item.id).all(), "items.json")


@api.get("/items/<int:number>")
def item(number):
    found = session.get(Item, number)
    if found is None:
        abort(404)
    return json_of(found, "item.json")


def json_of(what, template):
    return Response(render_template(template, what=what), mimetype="application/json")
