"""Make the database: ``python -m old.fill``."""

from __future__ import annotations

from decimal import Decimal

from werkzeug.security import generate_password_hash

from old.models import Base, Item, User, engine, session

ITEMS = [
    ("Cup", "9.90", 12, None),
    ("Tea pot", "24.50", 3, "Holds a litre"),
    ("Tray", "12.00", 5, None),
    ("Spoon", "2.25", 60, "Silver"),
]


def fill() -> None:
    """Make the tables, a user and the items."""
    Base.metadata.create_all(engine)
    session.add(User(name="ada", password=generate_password_hash("lovelace")))
    for name, price, stock, note in ITEMS:
        session.add(Item(name=name, price=Decimal(price), stock=stock, note=note))
    session.commit()


if __name__ == "__main__":
    fill()
