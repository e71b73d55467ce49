"""From an old app to a new one, route by route, with a way back."""
