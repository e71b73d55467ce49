"""Tests of `bridge.django`."""
