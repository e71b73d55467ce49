"""Tests of the fleet: lists of events, no processes."""
