"""Flask's tutorial: a blog with a factory, two blueprints, and SQLite."""

from __future__ import annotations

import functools
import os
import sqlite3
from typing import Any

from flask import Blueprint, Flask, abort, current_app, g, redirect, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash

auth = Blueprint("auth", __name__, url_prefix="/auth")
blog = Blueprint("blog", __name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY, username TEXT UNIQUE, password TEXT);
CREATE TABLE IF NOT EXISTS post (id INTEGER PRIMARY KEY, author_id INTEGER, title TEXT, body TEXT);
"""


def create_app(test_config: Any = None) -> Flask:
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(SECRET_KEY="dev", DATABASE=os.environ["FLASKR_DATABASE"])

    @app.route("/hello")
    def hello() -> str:
        return "Hello, World!"

    app.teardown_appcontext(close_db)
    app.register_blueprint(auth)
    app.register_blueprint(blog)
    app.add_url_rule("/", endpoint="index")  # so that url_for("index") is url_for("blog.index")
    return app


def get_db() -> sqlite3.Connection:
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"])
        g.db.executescript(SCHEMA)
    return g.db  # type: ignore[no-any-return]


def close_db(error: Any = None) -> None:
    db = g.pop("db", None)
    if db is not None:
        db.close()


@auth.before_app_request
def load_logged_in_user() -> None:
    user_id = session.get("user_id")
    g.user = None
    if user_id is not None:
        g.user = get_db().execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone()


def login_required(view: Any) -> Any:
    @functools.wraps(view)
    def wrapped_view(**arguments: Any) -> Any:
        if g.user is None:
            return redirect(url_for("auth.login"))
        return view(**arguments)

    return wrapped_view


@auth.route("/register", methods=("GET", "POST"))
def register() -> Any:
    if request.method == "POST":
        password = generate_password_hash(request.form["password"])
        row = (request.form["username"], password)
        get_db().execute("INSERT INTO user (username, password) VALUES (?, ?)", row)
        get_db().commit()
        return redirect(url_for("auth.login"))
    return "<form method=post>"


@auth.route("/login", methods=("GET", "POST"))
def login() -> Any:
    if request.method == "POST":
        found = get_db().execute(
            "SELECT * FROM user WHERE username = ?", (request.form["username"],)
        )
        user = found.fetchone()
        if user is not None and check_password_hash(user[2], request.form["password"]):
            session.clear()
            session["user_id"] = user[0]
            return redirect(url_for("index"))
    return "<form method=post>"


@auth.route("/logout")
def logout() -> Any:
    session.clear()
    return redirect(url_for("index"))


@blog.route("/")
def index() -> str:
    posts = get_db().execute("SELECT title FROM post ORDER BY id DESC").fetchall()
    return "".join(f"<h1>{title}</h1>" for (title,) in posts)


@blog.route("/create", methods=("GET", "POST"))
@login_required
def create() -> Any:
    return "<form method=post>"


@blog.route("/<int:id>/update", methods=("GET", "POST"))
@login_required
def update(id: int) -> Any:
    abort(404)


@blog.route("/<int:id>/delete", methods=("POST",))
@login_required
def delete(id: int) -> Any:
    abort(404)
