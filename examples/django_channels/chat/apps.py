"""The app's name."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat"
