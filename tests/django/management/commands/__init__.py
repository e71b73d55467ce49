"""Tests of commands for manage.py."""
