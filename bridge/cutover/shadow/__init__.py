"""Proof that the old app and the new one answer alike: copies, comparison, report, replay."""
