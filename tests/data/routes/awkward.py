"""Apps whose routes are hard to read."""

from __future__ import annotations

import functools
import operator
from typing import Any

from fastapi import FastAPI
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import Dispatcher, Mount

print("loading")  # what an app prints must not get into the output

# ------------------------------------------------------------- routes added at the first request

late = Flask("late", static_folder=None)


@late.before_request
def add_routes() -> None:
    if "late" not in late.view_functions:
        late.url_map.add(late.url_rule_class("/late", endpoint="late"))
        late.view_functions["late"] = lambda: "late"


# ------------------------------------------------------------- everything at one app

catch_all = Flask("catch_all", static_folder=None)


@catch_all.route("/<path:path>")
def anything(path: str) -> str:
    return path


@catch_all.get("/users")
def users() -> str:
    return "users"


@catch_all.post("/users")
def new_user() -> str:
    return "new"


@catch_all.get("/api/users")
def old_users() -> str:
    return "old"


catch_all.add_url_rule("/length", "length", len, methods=["GET"])
catch_all.add_url_rule("/first", "first", functools.partial(operator.itemgetter(0), "x"))


class Page:
    def __call__(self) -> str:
        return "page"


catch_all.add_url_rule("/page", "page", Page())

# ------------------------------------------------------------- middlewares of Werkzeug's

mounted = Flask("mounted", static_folder=None)
mounted.wsgi_app = ProxyFix(  # type: ignore[method-assign]
    DispatcherMiddleware(mounted.wsgi_app, {"/late": late})  # type: ignore[arg-type]
)


@mounted.get("/late/x")
def hidden() -> str:
    return "hidden"


# ------------------------------------------------------------- a function, and all together

new = FastAPI(openapi_url=None)


@new.get("/users/{id}")
async def user(id: int) -> None: ...


@new.get("/users/me")
async def me() -> None: ...


async def bare(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no app is called")


def is_beta(request: Any) -> bool:
    raise AssertionError("no predicate is asked")


site = Dispatcher(
    {
        "/": [Mount(bare, when=is_beta), catch_all],
        "/api": new,
        "/bare": bare,
        "/mounted": mounted,
    }
)
