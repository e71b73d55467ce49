"""Requests that WSGI apps answer."""
