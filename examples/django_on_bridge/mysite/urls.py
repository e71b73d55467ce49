"""The URLs."""

from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("", views.index, name="index"),
    path("add", views.add, name="add"),
    path("notes.json", views.notes_json),
    path("count", views.count),
    path("form", views.form),
    path("json", views.json_echo),
    path("upload", views.upload),
    path("raw", views.raw),
    path("download", views.download),
    path("cookies", views.cookies),
    path("redirect", views.away),
    path("error", views.error),
    path("unread", views.unread),
    path("admin/", admin.site.urls),
]
