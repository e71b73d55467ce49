"""One log-in for an old app and a new one, as the how-to prints them: tried for real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import ROOT, Command, Host

PAGE = (ROOT / "docs" / "howto" / "share-a-login.md").read_text()


def block(first: str) -> str:
    """The code on the page that begins with these words."""
    found = re.search(rf"^```python\n({re.escape(first)}.*?)^```$", PAGE, re.M | re.S)
    assert found, f"the page has no code that begins with {first!r}"
    return found[1]


FLASK = {
    "old.py": block("from flask import Flask"),
    "new.py": block("from bridge.sessions import FlaskSession"),
    "shop.py": block("from bridge import Dispatcher\n\nfrom new"),
}

DJANGO = {
    "new.py": block("from bridge.sessions import DjangoSession"),
    "shop.py": block("from bridge import Dispatcher\nfrom mysite"),
    "mysite/wsgi.py": """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
""",
    "mysite/urls.py": """
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

def home(request):
    name = request.user.get_username() or "nobody"
    return HttpResponse(f"{name} has {len(request.session.get('cart', []))} in the cart")

urlpatterns = [path("admin/", admin.site.urls), path("", home)]
""",
    "mysite/settings.py": """
from pathlib import Path
SECRET_KEY = "a key"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
CONTRIB = "django.contrib."
INSTALLED_APPS = [
    CONTRIB + name for name in ("admin", "auth", "contenttypes", "sessions", "messages")
]
MIDDLEWARE = [
    CONTRIB + "sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    CONTRIB + "auth.middleware.AuthenticationMiddleware",
    CONTRIB + "messages.middleware.MessageMiddleware",
]
PASSWORD_HASHERS = [CONTRIB + "auth.hashers.MD5PasswordHasher"]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        CONTRIB + "auth.context_processors.auth",
        CONTRIB + "messages.context_processors.messages",
    ]},
}]
STATIC_URL = "/static/"
USE_TZ = True
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": Path(__file__).with_name("db.sqlite3"),
    "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
}}
""",
}

#: Makes the tables and a user, or gives the user another password.
PREPARE = """
import sys
from mysite.wsgi import application
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
if not User.objects.exists():
    User.objects.create_superuser("ada", password="old")
user = User.objects.get()
user.set_password(sys.argv[1])
user.save()
"""

SERVERS = {
    "bridge": hosts.bridge("shop:app", "--app-dir={folder}"),
    "uvicorn": hosts.uvicorn("shop:app", "--app-dir={folder}"),
}


@pytest.fixture(params=SERVERS)
def flask_shop(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """The Flask app and the FastAPI app of the page, on one server."""
    command = SERVERS[request.param]
    return shared_host(Command(command.name, command.argv, files=FLASK))


def test_a_log_in_to_flask_is_one_to_fastapi(flask_shop: Host) -> None:
    """M40: log in on the old side, act on the new one, log out there, and the old one knows."""
    with httpx.Client(base_url=flask_shop.url(""), follow_redirects=True) as browser:
        assert browser.post("/api/cart/1").status_code == 401
        assert "set-cookie" not in browser.get("/").headers
        page = browser.post("/login", data={"user": "ada"})
        assert page.text == "ada has 0 in the cart"
        assert browser.post("/api/cart/1").json() == {"user": "ada", "cart": [1]}
        assert browser.post("/api/cart/2").json() == {"user": "ada", "cart": [1, 2]}
        assert browser.get("/").text == "ada has 2 in the cart"
        out = browser.post("/api/logout")
        assert out.headers["set-cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")
        assert not browser.cookies
        assert browser.get("/").text == "nobody has 0 in the cart"
        assert browser.post("/api/cart/3").status_code == 401


def test_both_sides_send_the_same_flags(flask_shop: Host) -> None:
    """M40: name and attributes of the cookie do not depend on who wrote it; nor does Vary."""
    with httpx.Client(base_url=flask_shop.url("")) as browser:
        old = browser.post("/login", data={"user": "ada"})
        new = browser.post("/api/cart/1")
        flags = [re.sub("=[^;]*", "=", each.headers["set-cookie"], count=1) for each in (old, new)]
        assert flags == ["session=; HttpOnly; Path=/"] * 2
        assert old.headers["vary"] == new.headers["vary"] == "Cookie"
        old, new = browser.post("/logout"), browser.post("/api/logout")
        assert old.headers["set-cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")


def test_a_forged_cookie_logs_nobody_in(flask_shop: Host) -> None:
    """M40: neither side takes it, and neither fails."""
    with httpx.Client(base_url=flask_shop.url("")) as browser:
        good = browser.post("/login", data={"user": "ada"}).cookies["session"]
    payload, rest = good.split(".", 1)
    forged = [good[:-1], f"{payload}x.{rest}", payload, f"{payload}.", "é", '"\\000"', "x" * 5000]
    for cookie in forged:
        fields = {"Cookie": f"session={cookie}".encode("latin-1")}
        with httpx.Client(base_url=flask_shop.url(""), headers=fields) as stranger:
            assert stranger.post("/api/cart/1").status_code == 401
            if cookie.isascii():  # Flask itself fails at others
                assert stranger.get("/").text == "nobody has 0 in the cart"


# ------------------------------------------------------------- Django


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Django project with its admin, and of the FastAPI app of the page."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in DJANGO.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    set_password(folder, "old")
    return folder


def set_password(folder: Path, password: str) -> None:
    """Give the project's user a password; the first time, make the user."""
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", PREPARE, password]
    subprocess.run(command, env=env, check=True, timeout=100)


@pytest.fixture(params=SERVERS)
def django_shop(request: pytest.FixtureRequest, shared_host: StartHost, project: Path) -> Host:
    """The Django project and the FastAPI app of the page, on one server."""
    command = SERVERS[request.param]
    argv = tuple(word.replace("{folder}", str(project)) for word in command.argv)
    return shared_host(Command(command.name, argv))


def log_in(browser: httpx.Client, password: str) -> httpx.Response:
    """Log in by the form of Django's admin."""
    browser.get("/admin/login/")
    form = {"username": "ada", "password": password, "next": "/"}
    fields = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": str(browser.base_url)}
    return browser.post("/admin/login/", data=form, headers=fields)


def test_a_log_in_to_the_admin_is_one_to_fastapi(django_shop: Host) -> None:
    """M40: log in on the old side, act on the new one, log out there, and the old one knows."""
    with httpx.Client(base_url=django_shop.url(""), timeout=30) as browser:
        assert browser.post("/api/cart/1").status_code == 401
        assert log_in(browser, "old").headers["location"] == "/"
        key = browser.cookies["sessionid"]
        assert browser.post("/api/cart/1").json() == {"user": "ada", "cart": [1]}
        assert browser.post("/api/cart/2").json() == {"user": "ada", "cart": [1, 2]}
        assert browser.get("/").text == "ada has 2 in the cart"
        out = browser.post("/api/logout")
        assert 'sessionid=""; expires=Thu, 01 Jan 1970' in out.headers["set-cookie"]
        assert "sessionid" not in browser.cookies
        browser.cookies["sessionid"] = key
        assert browser.get("/").text == "nobody has 0 in the cart"
        assert browser.post("/api/cart/3").status_code == 401


def test_both_sides_of_django_send_the_same_flags(django_shop: Host) -> None:
    """M40: name, attributes and lifetime of the cookie do not depend on who wrote it."""
    with httpx.Client(base_url=django_shop.url(""), timeout=30) as browser:
        old = log_in(browser, "old").headers.get_list("set-cookie")
        new = browser.post("/api/cart/1").headers.get_list("set-cookie")
    flags = [
        re.sub("expires=[^;]*", "expires=", each)
        for each in (*old, *new)
        if each.startswith("sessionid=")
    ]
    assert len(flags) == 2
    assert flags[0] == flags[1]
    assert "HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax" in flags[0]


def test_a_new_password_logs_out_on_both_sides(django_shop: Host, project: Path) -> None:
    """M40: whoever had logged in with the old one; forged keys log nobody in."""
    with httpx.Client(base_url=django_shop.url(""), timeout=30) as browser:
        log_in(browser, "old")
        assert browser.post("/api/cart/1").status_code == 200
        set_password(project, "new")
        try:
            assert browser.post("/api/cart/1").status_code == 401
            assert browser.get("/").text.startswith("nobody")
        finally:
            set_password(project, "old")
    for forged in ("a" * 32, "x" * 5000, "é" * 9, '"\\000\\000\\000\\000\\000\\000\\000\\000"'):
        fields = {"Cookie": f"sessionid={forged}".encode("latin-1")}
        assert httpx.post(django_shop.url("/api/cart/1"), headers=fields).status_code == 401
