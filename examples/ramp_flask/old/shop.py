"""The old shop: Flask, SQLAlchemy, a log-in, a cart in the session, uploads, a WebSocket.

It is served as it has always been, and is not changed for the new one.
"""

from __future__ import annotations

import os

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from flask import session as cookie
from flask_login import LoginManager, current_user, login_required, login_user, logout_user
from flask_sock import Sock
from werkzeug.security import check_password_hash

from old.api import api
from old.models import Item, User, session

app = Flask(__name__)
app.config["SECRET_KEY"] = os.environ.get("SHOP_SECRET_KEY", "only on your own machine")
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
app.register_blueprint(api)
log_in = LoginManager(app)
sock = Sock(app)


@log_in.user_loader
def load_user(number):
    return session.get(User, int(number))


@app.teardown_appcontext
def give_back(error):
    session.remove()


@app.template_global()
def who():
    return current_user.name if current_user.is_authenticated else "nobody"


# ------------------------------------------------------------- pages


@app.get("/")
def shop():
    return render_template("shop.html", items=session.query(Item).order_by(Item.id).all())


@app.get("/sale")
def sale():
    return redirect(url_for("reduced"))


@app.get("/reduced/")
def reduced():
    items = session.query(Item).filter(Item.price < 10).order_by(Item.id)
    return render_template("items.html", title="Reduced", items=items)


@app.post("/login")
def login():
    user = session.query(User).filter_by(name=request.form["name"]).first()
    if user is None or not check_password_hash(user.password, request.form["password"]):
        abort(403)
    login_user(user)
    return redirect("/")


@app.post("/logout")
def logout():
    logout_user()
    cookie.pop("cart", None)
    return redirect("/")


# ------------------------------------------------------------- the cart


@app.get("/cart")
def cart():
    items = [session.get(Item, number) for number in cookie.get("cart", [])]
    return render_template("items.html", title="Cart", items=items)


@app.post("/cart/<int:number>")
def add(number):
    if session.get(Item, number) is None:
        abort(404)
    cookie["cart"] = [*cookie.get("cart", []), number]
    return redirect("/cart")


# ------------------------------------------------------------- pictures, and the stock


@app.get("/pictures/<int:number>")
def picture(number):
    item = session.get(Item, number)
    if item is None or item.picture is None:
        abort(404)
    return Response(item.picture, mimetype="image/png")


@app.post("/pictures/<int:number>")
@login_required
def upload(number):
    session.get(Item, number).picture = request.files["picture"].read()
    session.commit()
    return redirect("/")


@sock.route("/stock")
def stock(socket):
    while True:
        item = session.get(Item, int(socket.receive()))
        socket.send(f"{item.stock if item else 0} left for {who()}")
        session.remove()
