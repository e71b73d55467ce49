"""The API, moved to FastAPI: the same answers from the same tables, and the same log-in."""

import os
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlsplit

import django
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from bridge.sessions import DjangoSession

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live.settings")
django.setup()  # before the models are imported

from catalog import cart, models  # noqa: E402

app = FastAPI()
app.add_middleware(DjangoSession)


class Book(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    price: Decimal
    stock: int
    note: str | None
    changed: datetime


# Django answers HEAD wherever it answers GET; FastAPI has to be told.
@app.api_route("/api/books/", methods=["GET", "HEAD"])
async def books() -> list[Book]:
    return [Book.model_validate(each) async for each in models.Book.objects.all()]


@app.api_route("/api/books/{number}/", methods=["GET", "HEAD"])
async def book(number: int) -> Book:
    return Book.model_validate(await find(number))


async def find(number):
    try:
        return await models.Book.objects.aget(pk=number)
    except models.Book.DoesNotExist:
        raise HTTPException(404, "There is no such book.") from None


# ------------------------------------------------------------- the cart


async def visitor(request: Request):
    """Return who is logged in: on the old side, for the new one has no log-in of its own."""
    user = await request.user
    if not user.is_authenticated:
        raise HTTPException(403, "Authentication credentials were not provided.")
    return user.get_username()


def from_this_site(request: Request):
    """FastAPI checks no CSRF token: refuse what a page of another site sends."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
        raise HTTPException(403, f"CSRF Failed: Origin checking failed - {origin}.")


class Wanted(BaseModel):
    book: int


@app.get("/api/cart/")
async def show_cart(request: Request, user: str = Depends(visitor)):
    return {"user": user, "books": request.session.get("cart", [])}


@app.post("/api/cart/", status_code=201, dependencies=[Depends(from_this_site)])
async def put_into_cart(wanted: Wanted, request: Request, user: str = Depends(visitor)):
    book = await find(wanted.book)
    return {"user": user, "books": cart.put(request.session, book.pk)}
