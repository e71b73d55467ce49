"""From a name to an app, from an app to its handler, from a request to a call."""
