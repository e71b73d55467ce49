"""An old app and a new one that should answer alike, and do not quite."""
