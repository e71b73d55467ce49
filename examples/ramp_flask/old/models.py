"""The tables of the shop, and its database: one SQLite file."""

from __future__ import annotations

import os

from flask_login import UserMixin
from sqlalchemy import Column, Integer, LargeBinary, Numeric, String, create_engine
from sqlalchemy.orm import declarative_base, scoped_session, sessionmaker

engine = create_engine("sqlite:///" + os.environ.get("SHOP_DATABASE", "shop.db"))
session = scoped_session(sessionmaker(engine))
Base = declarative_base()


class User(UserMixin, Base):
    """Who may log in."""

    __tablename__ = "users"

    id = Column(Integer, primary_key=True)
    name = Column(String, unique=True, nullable=False)
    password = Column(String, nullable=False)


class Item(Base):
    """What is for sale."""

    __tablename__ = "items"

    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)
    price = Column(Numeric(8, 2), nullable=False)
    stock = Column(Integer, nullable=False)
    note = Column(String)
    picture = Column(LargeBinary)
