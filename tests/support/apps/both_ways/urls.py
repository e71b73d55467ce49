"""Routes of each kind."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from tests.support.apps.both_ways import views

_below = [
    path("sync/<int:number>", views.sync_view),
    path("async/<int:number>", views.async_view),
]

urlpatterns = [
    path("sync", views.sync_view),
    path("async", views.async_view),
    path("class/sync", views.SyncClass.as_view()),
    path("class/async", views.AsyncClass.as_view()),
    path("decorated", never_cache(views.async_view)),
    path("items/mine", views.sync_view),
    path("items/<item>", views.async_view),
    path("in/<slug:place>/", include(_below)),
    re_path(r"^old/(?P<year>[0-9]{4})/$", views.async_view),
    re_path(r"anywhere/end", views.async_view),
    path("wait/<seconds>", views.wait),
    path("cancelled", views.cancelled),
    path("fail/async", views.fail),
    path("fail/sync", views.fail_sync),
    path("stream", views.stream),
    path("stream/async", views.stream_async),
    path("upload", views.upload),
    path("upload/async", views.upload_async),
    path("block", views.block),
    path("together/<int:count>", views.together),
    path("threads", views.threads),
    path("query", views.query),
    path("query/async", views.query_async),
    path("steps", views.steps),
    path("hold", views.hold),
    path("outlive", views.outlive),
    path("slash/", views.sync_view),
]
urlpatterns += i18n_patterns(
    path("greet/", views.async_view),
    path(gettext_lazy("Sunday"), views.async_view),
    prefix_default_language=False,
)
