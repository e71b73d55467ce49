"""What can be said of live copies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.cutover.shadow.copying.settings import RouteShadow, Shadow, read_shadow
from bridge.errors import ConfigError


def test_values_are_read_from_text() -> None:
    """M10: as everywhere, with units; a table and a `Shadow` are the same."""
    shadow = read_shadow(
        {"sample": "5%", "timeout": "250ms", "max_response_body": "2M", "fields": ["ETag"]}
    )
    assert (shadow.sample, shadow.timeout, shadow.max_response_body) == (5, 0.25, 2 * 1024**2)
    assert shadow.fields == ("etag",)
    assert read_shadow(shadow) is shadow
    assert read_shadow(None) == Shadow()
    assert (Shadow().max_request_body, Shadow().max_response_body) == (65536, 1048576)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sample": 150}, "sample is 150; allowed is a number of percent from 0 to 100"),
        ({"sample": True}, "sample is True"),
        ({"noise": "often"}, "noise is 'often'"),
        ({"concurrency": 0}, "concurrency is 0; allowed is a whole number from 1 to 100"),
        ({"timeout": "soon"}, "timeout is 'soon'"),
        ({"report_size": "1K"}, "report_size is '1K'"),
        ({"max_response_body": "1G"}, "max_response_body is '1G'"),
        ({"ignore": "$..id"}, "ignore is '$..id'; allowed is a list of texts"),
        ({"ignore": ["id"]}, "'id' is no rule"),
        ({"fields": ["a b"]}, "fields has 'a b'; allowed is a name"),
        ({"samples": 5}, "samples is no setting of shadow; did you mean sample?"),
        ("5%", "shadow is '5%'; allowed is a table"),
    ],
)
def test_what_is_wrong_is_one_line(given: Any, says: str) -> None:
    """M5: what was seen, and what is allowed."""
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        read_shadow(given)
    assert "\n" not in str(caught.value)


def test_a_route_goes_before_what_is_said_for_all() -> None:
    """M10, M11: but what may differ on all routes may differ on each."""
    shadow = Shadow(sample=10, noise=5, ignore=["header:etag"])
    own = RouteShadow(sample=50, ignore=["$..id"]).over(shadow)
    assert (own.sample, own.noise, own.ignore) == (50, 5, ("header:etag", "$..id"))
    assert own.rules is not None
    assert own.rules.rules_for("a", "/").headers == {"etag"}
    assert RouteShadow().over(shadow).sample == 10
    with pytest.raises(ConfigError, match="sample is -1"):
        RouteShadow(sample=-1)
