"""How a request of a canary went: what counts as a failure of its app, and what of nobody."""
