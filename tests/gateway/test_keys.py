"""Where things stand in Redis."""

from bridge.gateway.keys import Keys


def test_all_keys_are_below_the_prefix() -> None:
    """L9: two groups of processes with different prefixes do not meet."""
    keys = Keys("shop")
    assert keys.requests == "shop:requests"
    assert (keys.peers, keys.seen) == ("shop:peers", "shop:seen")
    assert keys.inbox("w.1") == "shop:in:w.1"
