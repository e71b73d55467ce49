"""Tests of what Django finds by its place."""
