"""The app's name."""

from django.apps import AppConfig


class NotesConfig(AppConfig):
    name = "notes"
