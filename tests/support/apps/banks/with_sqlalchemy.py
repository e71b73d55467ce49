"""The bank with Flask and SQLAlchemy: a `scoped_session`, and a pool of `BANK_POOL` connections.

Over pymysql and MariaDB, or psycopg and PostgreSQL, as `BANK_URL` says.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, g, jsonify, request, session
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

from bridge import WsgiToAsgi
from tests.support.apps.banks import Peak, Taken, kind, parties, pause

engine = create_engine(
    os.environ["BANK_URL"],
    pool_size=int(os.environ.get("BANK_POOL", 50)),
    max_overflow=0,
    pool_timeout=100,
    isolation_level="READ COMMITTED",
)
POSTGRES = engine.dialect.name == "postgresql"
CONNECTION = text("SELECT pg_backend_pid()" if POSTGRES else "SELECT connection_id()")
SLEEP = text("SELECT 1 FROM pg_sleep(:for)" if POSTGRES else "SELECT sleep(:for)")
SET_MARK = text(
    "SELECT set_config('bank.request', cast(:mark AS text), true)"
    if POSTGRES
    else "SET @mark = :mark"
)
MARK = text("SELECT current_setting('bank.request', true)" if POSTGRES else "SELECT @mark")

database = scoped_session(sessionmaker(engine))
peak = Peak()
app = wsgi = Flask(__name__)
app.secret_key = "not secret"


class Base(DeclarativeBase):
    """The tables."""


class Account(Base):
    """An account."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Entry(Base):
    """One side of a transfer."""

    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    request: Mapped[int]
    account: Mapped[int]
    amount: Mapped[int]


@app.teardown_appcontext
def give_back(_: BaseException | None) -> None:
    """The connection goes back to the pool."""
    database.remove()


def seen(number: int) -> dict[str, Any]:
    """What this transaction sees: its connection, its mark, its own entries, and all others."""
    others = select(func.sum(Entry.amount)).where(Entry.request != number)
    mine = select(Entry.amount).where(Entry.request == number).order_by(Entry.id)
    return {
        "connection": database.scalar(CONNECTION),
        "mark": database.scalar(MARK),
        "own": list(database.scalars(mine)),
        "others": int(database.scalar(others) or 0),
        "total": int(database.scalar(select(func.sum(Account.balance))) or 0),
        "count": database.scalar(select(func.count(Entry.id))),
        "context": [g.number, session["number"], request.path],
    }


def move(number: int, amount: int) -> None:
    """Move money between the accounts of this request."""
    parts = parties(number)
    locked = select(Account).where(Account.id.in_(parts)).order_by(Account.id).with_for_update()
    accounts = {account.id: account for account in database.scalars(locked)}
    for at, change in zip(parts, (-amount, amount), strict=True):
        accounts[at].balance += change
        database.add(Entry(request=number, account=at, amount=change))
        database.flush()


@app.get("/<int:number>")
def run(number: int) -> Response:
    """Do what request `number` does, in a transaction."""
    sleep, wait = float(request.args.get("sleep", 0)), float(request.args.get("pause", 0))
    g.number = session["number"] = number
    looks = []
    try:
        if kind(number) == "audit":
            database.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        database.execute(SET_MARK, {"mark": number})
        looks.append(seen(number))
        with peak.inside():
            database.execute(SLEEP, {"for": sleep})
            pause(wait)
        if kind(number) != "audit":
            move(number, number % 7 + 1)
        looks.append(seen(number))
        if kind(number) == "taken back":
            raise Taken
        database.commit()
    except Taken:
        database.rollback()
    looks.append(seen(number))
    return jsonify(looks=looks, context=[number, number, f"/{number}"])


@app.get("/peak")
def most() -> Response:
    """How many were in the database at the same time."""
    return jsonify(most=peak.most)


asgi = WsgiToAsgi(wsgi, runner="greenlet")
