"""Requests that ASGI apps answer."""
