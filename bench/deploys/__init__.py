"""``scripts/bench deploys``: the requests that servers lose while they are deployed."""
