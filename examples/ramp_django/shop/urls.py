"""The URLs of the old project."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("catalog.urls")),
    path("api/", include("catalog.api_urls")),
    path("admin/", admin.site.urls),
]
