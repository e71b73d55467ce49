"""The app's name."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "catalog"
