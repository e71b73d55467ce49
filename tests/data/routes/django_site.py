"""A Django project in one file: languages, admin, REST framework, files, regular expressions.

Run as a program, it prints what Django's own resolver says of some paths, and what we say.
"""

from __future__ import annotations

import json
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="none",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        *("django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"),
        *("django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"),
        "rest_framework",
    ],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    LANGUAGES=[("en", "English"), ("de", "German")],
    LANGUAGE_CODE="en",
    USE_I18N=True,
    STATIC_URL="/static/",
)
django.setup()

from django.conf.urls.i18n import i18n_patterns  # noqa: E402 - the settings come first
from django.contrib import admin  # noqa: E402
from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import include, path, re_path, resolve  # noqa: E402
from django.urls.exceptions import Resolver404  # noqa: E402
from django.utils.translation import gettext_lazy, override  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.cache import never_cache  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402
from rest_framework import routers, viewsets  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402


def page(request, **parameters):
    return HttpResponse("page")


async def awaited(request):
    return HttpResponse("awaited")


@never_cache
@require_POST
def posted(request):
    return HttpResponse("posted")


class Sync(View):
    def get(self, request):
        return HttpResponse("sync")


class Async(View):
    async def get(self, request):
        return HttpResponse("async")

    async def put(self, request):
        return HttpResponse("async")


class Things(viewsets.ViewSet):
    def list(self, request):
        return HttpResponse("list")

    def destroy(self, request, pk):
        return HttpResponse("gone")


@api_view(["GET", "POST"])
def rest(request):
    return HttpResponse("rest")


router = routers.DefaultRouter()
router.register("things", Things, basename="thing")

inner = [path("ples/", page, name="ples"), path("", page)]

urlpatterns = [
    path("", page, name="home"),
    path("awaited/", awaited),
    path("posted/", posted),
    path("sync/", Sync.as_view()),
    path("async/", Async.as_view()),
    re_path(r"^articles/(?P<year>[0-9]{4})/$", page, name="year"),
    re_path(r"^articles/(?P<year>[0-9]{4})/(?P<slug>[\w-]+)/$", page),
    re_path(r"^articles/2026/$", page, name="never"),
    path("sam", include((inner, "sam"), namespace="sam")),
    path("api/", include(router.urls)),
    path("rest", rest),
    path("admin/", admin.site.urls),
    *i18n_patterns(path(gettext_lazy("about/"), page, name="about"), prefix_default_language=False),
    re_path(r"^spa/(?!x)", page),
    re_path(r"^(?P<lost>old.*)$", page, name="lost"),
]

application = StaticFilesHandler(get_wsgi_application())

PATHS = [
    *("/", "/awaited/", "/posted/", "/sync/", "/async/", "/articles/2026/", "/articles/26/"),
    *("/articles/2026/a-b/", "/articles/2026/a.b/", "/samples/", "/sam", "/sam/", "/api/"),
    *("/api/things/", "/api/things/7/", "/api/things.json", "/rest", "/rest/", "/admin/"),
    *("/admin/auth/user/7/change/", "/admin/auth/user/7/", "/admin/x/y", "/about/", "/de/about/"),
    *("/en/about/", "/fr/about/", "/spa/y/z", "/spa/x", "/old", "/older/than/that", "/nothing"),
]


def views() -> list[tuple[str, str | None, str | None]]:
    """Return for each path the line of the view that Django resolves, and of the one we tell."""
    from bridge.route_tables import read_table, site_table, who_answers
    from bridge.route_tables.views import view_of

    rows = site_table(read_table(application, "site:application"))
    found = []
    for each in PATHS:
        try:
            with override("de" if each.startswith("/de/") else "en"):
                view = view_of(resolve(each).func)
            django_says = f"{view.name}:{view.line}"
        except Resolver404:
            django_says = None
        row = who_answers(rows, each)[-1].row
        we_say = None if row.is_rest else f"{row.view.name}:{row.view.line}"
        found.append((each, django_says, we_say))
    return found


if __name__ == "__main__":
    json.dump(views(), sys.stdout)
