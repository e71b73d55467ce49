"""An old app and a new one whose routes do not fit together as a cutover has them (M4)."""

from __future__ import annotations

from fastapi import FastAPI
from flask import Flask

old = Flask("old", static_folder=None)
new = FastAPI()


@old.get("/invoices/")
def invoices() -> str:
    return "old"


@old.route("/invoices/<int:id>", methods=["GET", "POST"])
def invoice(id: int) -> str:
    return "old"


@old.get("/invoices/<int:id>/pdf")
def pdf(id: int) -> str:
    return "old"


@old.get("/search")
def search() -> str:
    return "old"


@new.get("/invoices/{id}")
async def new_invoice(id: int) -> str:
    return "new"


@new.get("/health")
async def health() -> str:
    return "new"
