"""Secrets are blacked out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.cutover.shadow.secrets import (
    blacked_body,
    blacked_fields,
    blacked_form,
    blacked_json,
    blacked_string,
    blacked_text,
    blacked_url,
    is_secret,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "password", "Passwd", "new_password2", "pwd", "client_secret", "access_token", "token",
        "X-Api-Key", "apikey", "authorization", "proxy-authorization", "x-auth", "csrf_token",
        "csrfmiddlewaretoken", "sessionid", "sid", "otp", "pin", "cvv", "card_number", "Cookie",
        "signature", "jwt", "private_key",
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(name: str) -> None:
    """M12: fields and keys named like passwords and tokens are secrets."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["author", "authority", "name", "id", "spin", "price", "side"])
def test_other_names_are_none(name: str) -> None:
    """M12: names that only look a little like one are none."""
    assert not is_secret(name)


def test_fields_are_blacked_out() -> None:
    """M12: values of log-ins and cookies are blacked out; their schemes and names stay."""
    fields = blacked_fields(
        (
            ("authorization", f"Bearer {SECRET}"),
            ("proxy-authorization", SECRET),
            ("cookie", f"a={SECRET}; b={SECRET}"),
            ("set-cookie", f"a={SECRET}; Path=/; HttpOnly"),
            ("x-api-key", SECRET),
            ("location", f"/next?token={SECRET}&page=2#access_token={SECRET}"),
            ("accept", "*/*"),
        )
    )
    assert SECRET not in str(fields)
    assert dict(fields) == {
        "authorization": "Bearer ***",
        "proxy-authorization": "***",
        "cookie": "a=***; b=***",
        "set-cookie": "a=***; Path=/; HttpOnly",
        "x-api-key": "***",
        "location": "/next?token=***&page=2#access_token=***",
        "accept": "*/*",
    }


def test_urls_and_forms_are_blacked_out() -> None:
    """M12: passwords in addresses, and values of secret keys in queries and forms, are not kept."""
    assert blacked_url(f"https://me:{SECRET}@shop.example/a?b=1") == (
        "https://***@shop.example/a?b=1"
    )
    assert blacked_url("/a?b") == "/a?b"
    assert blacked_form(f"user=me&pass%77ord={SECRET}&x") == "user=me&pass%77ord=***&x"


def test_text_loses_its_tokens() -> None:
    """M12: long words of letters and digits in a text are taken for tokens."""
    assert blacked_text("see IjYwZTk3NmQ4YzE0.Z1a2b3") == "see IjYw***"
    assert blacked_text("a plain-text-without-any-digits") == "a plain-text-without-any-digits"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/?page=2&access_token=hunter2#x", "https://h/?page=2&access_token=***#x"),
        ("postgres://u:hunter2@hunter2@h/", "postgres://***@h/"),
        ("Bearer hunter2", "Bearer ***"),
        ("Basic rules apply", "Basic rules apply"),
        ('<a href="/r?a=1&amp;code=hunter2">', '<a href="/r?a=1&amp;code=***">'),
        ('<input value="hunter2-and-more">', '<input value="***">'),
        ("next=https%3A%2F%2Fh%2F%3Fsig%3Dhunter2", "next=https%3A%2F%2Fh%2F%3Fsig%3D***"),
        ("eyJhbGciOi1SEhunter2KEY12345", "eyJh***"),
        ("123e4567-E89b-12d3-a456-426614174000",) * 2,
        ("/static/js/application-2024.js?v=3",) * 2,
    ],
)
def test_secrets_within_texts(text: str, shown: str) -> None:
    """M12: addresses, log-ins and tokens within a text lose their secrets; the rest stays."""
    assert blacked_string(text) == shown


def test_keys_that_are_secret_in_a_query() -> None:
    """M12: what logs in there is no secret elsewhere, such as the code of an error."""
    assert blacked_form("code=x&state=open&sig=y") == "code=***&state=open&sig=***"
    assert blacked_form("state=abcdefghijklmnop") == "state=***"
    assert not is_secret("code")
    assert "hunter2" not in blacked_form("a=%3Fb%3D%253Fc%253D%25253Ftoken%25253Dhunter2")


def test_fields_of_proxies_are_blacked_out() -> None:
    """M12: addresses that a proxy passes on, who has logged in, and what has no name at all."""
    fields = [
        ("x-original-url", "/a?token=hunter2"), ("x-forwarded-uri", "/?token=hunter2"),
        ("link", "</a?token=hunter2>; rel=next"), ("x-ms-client-principal", "hunter2"),
        ("x-amzn-oidc-data", "hunter2"), ("cookie", "hunter2"), ("set-cookie", "hunter2; Secure"),
        ("authorization", "hunter2 and more"),
        ("location", "/reset/MQ/cabc12-0123456789abcdef0123456789abcdef/hunter"),
    ]  # fmt: skip
    shown = blacked_fields(tuple(fields))
    assert "hunter2" not in str(shown)
    assert dict(shown)["location"] == "/reset/MQ/***/hunter"


@pytest.mark.parametrize("part", ["a", "://", "a-", "=", "bearer ", "a=", "a=%3F%3D", "?a=", "@"])
def test_long_texts_cost_little(part: str) -> None:
    """M12: no text makes the search slow, or goes too deep: it would take hours in another way."""
    blacked_string(part * 50_000)
    blacked_text(part * 50_000)
    blacked_url(part * 50_000)
    blacked_fields((("link", part * 50_000), ("cookie", part * 50_000)))


def test_json_is_blacked_out_at_each_depth() -> None:
    """M12: secret keys are found in arrays and objects; what is too deep is not kept at all."""
    value = {"user": [{"password": {"x": SECRET}, "name": "me"}]}
    assert blacked_json(value) == {"user": [{"password": "***", "name": "me"}]}
    deep: Any = SECRET
    for _ in range(150):
        deep = [deep]
    assert SECRET not in json.dumps(blacked_json(deep))


@pytest.mark.parametrize(
    ("kind", "body", "kept"),
    [
        ("application/json", b'{"password": "hunter2", "a": 1}', b'{"password": "***", "a": 1}'),
        ("application/json", b'{"password": "hun', None),
        ("application/json", b"[" * 100_000, None),
        ("application/x-www-form-urlencoded", b"password=hunter2&a=1", b"password=***&a=1"),
        ("text/plain", b"hunter2", None),
        ("text/plain", b"", b""),
    ],
)
def test_bodies_of_requests(kind: str, body: bytes, kept: bytes | None) -> None:
    """M12: a request's body is kept without secrets, or not at all if nobody knows what it is."""
    assert blacked_body((("content-type", kind),), body) == kept
