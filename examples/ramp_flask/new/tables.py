"""The same tables as in the old shop, described anew: the new one imports nothing of the old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import Numeric, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_engine("sqlite:///" + os.environ.get("SHOP_DATABASE", "shop.db"))


class Base(DeclarativeBase):
    """All tables."""


class User(Base):
    """Who may log in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Item(Base):
    """What is for sale."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    stock: Mapped[int]
    note: Mapped[str | None]
    picture: Mapped[bytes | None]


def database() -> Iterator[Session]:
    """Open a session of the database, for one request."""
    with Session(engine) as session:
        yield session
