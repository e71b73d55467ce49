"""The bank with Django's ORM, over PostgreSQL; a new connection for each request."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils import timezone, translation
from sqlalchemy import make_url

from bridge import WsgiToAsgi
from tests.support.apps.banks import Peak, Taken, kind, parties, pause

url = make_url(os.environ["BANK_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not secret",
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.database,
            "USER": url.username,
            "HOST": url.host,
            "PORT": url.port,
        }
    },
)
django.setup()

LANGUAGES = ("de", "fr", "sv", "pl")
ZONES = ("Europe/Oslo", "Asia/Tokyo", "America/Lima")
peak = Peak()


class Account(models.Model):
    """An account."""

    balance = models.IntegerField()

    class Meta:
        app_label = "bank"
        db_table = "account"
        managed = False


class Entry(models.Model):
    """One side of a transfer."""

    request = models.IntegerField()
    account = models.IntegerField()
    amount = models.IntegerField()

    class Meta:
        app_label = "bank"
        db_table = "entry"
        managed = False


def ask(statement: str, *values: object) -> object:
    """The one value that a statement gives."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def seen(number: int) -> dict[str, object]:
    """What this transaction sees: its connection, its mark, its own entries, and all others."""
    others = Entry.objects.exclude(request=number).aggregate(sum=models.Sum("amount"))
    return {
        "connection": ask("SELECT pg_backend_pid()"),
        "mark": ask("SELECT current_setting('bank.request', true)"),
        "own": list(Entry.objects.filter(request=number).values_list("amount", flat=True)),
        "others": others["sum"] or 0,
        "total": Account.objects.aggregate(sum=models.Sum("balance"))["sum"],
        "count": Entry.objects.count(),
        "context": [translation.get_language(), timezone.get_current_timezone_name()],
    }


def move(number: int, amount: int) -> None:
    """Move money between the accounts of this request."""
    source, target = parties(number)
    accounts = Account.objects.select_for_update().order_by("pk").in_bulk([source, target])
    for pk, change in ((source, -amount), (target, amount)):
        accounts[pk].balance += change
        accounts[pk].save()
        Entry.objects.create(request=number, account=pk, amount=change)


def run(request: HttpRequest, number: int) -> JsonResponse:
    """Do what request `number` does, in a transaction."""
    sleep, wait = float(request.GET.get("sleep", 0)), float(request.GET.get("pause", 0))
    language, zone = LANGUAGES[number % len(LANGUAGES)], ZONES[number % len(ZONES)]
    translation.activate(language)
    timezone.activate(zone)
    looks = []
    try:
        with transaction.atomic():
            if kind(number) == "audit":
                connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            ask("SELECT set_config('bank.request', %s, true)", str(number))
            looks.append(seen(number))
            with peak.inside():
                ask("SELECT 1 FROM pg_sleep(%s)", sleep)
                pause(wait)
            if kind(number) != "audit":
                move(number, number % 7 + 1)
            looks.append(seen(number))
            if kind(number) == "taken back":
                raise Taken
    except Taken:
        pass
    looks.append(seen(number))
    return JsonResponse({"looks": looks, "context": [language, zone]})


urlpatterns = [
    path("<int:number>", run),
    path("peak", lambda request: JsonResponse({"most": peak.most})),
]
wsgi = get_wsgi_application()
asgi = WsgiToAsgi(wsgi, runner="greenlet")
