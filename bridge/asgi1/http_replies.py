"""The replies of a consumer to an HTTP request, as ASGI 3 messages (L4).

A response is one reply or many. The first one has the ``status``, and may have ``headers``; each
may have a piece of body, ``content``; the first without a true ``more_content`` ends the response.

What is raised here is raised in the consumer's own ``reply_channel.send(...)``. Pure: no loop, no
thread and no clock; the caller passes the replies one after the other.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from bridge.errors import IllegalMessage, MessageTooLarge
from bridge.http.response_fields import as_fields
from bridge.http.response_head import ResponseHead, raw_head
from bridge.types import Message

#: A first reply: status and fields, checked and encoded; its content; whether more comes.
FirstReply: TypeAlias = tuple[ResponseHead, bytes, bool]

_KEYS: Final = frozenset({"status", "headers", "content", "more_content"})


class HttpReplies:
    """The replies to one request. `limit`: the most bytes of content in one of them.

    `has_begun` and `is_over`: those before had the first, or the last one, among them.
    """

    __slots__ = ("_limit", "has_begun", "head", "is_over")

    def __init__(self, limit: int, has_begun: bool = False, is_over: bool = False) -> None:
        self._limit = limit
        #: Status and fields, checked and encoded.
        self.head: ResponseHead | None = None
        #: A reply has come.
        self.has_begun = has_begun
        #: The last one has.
        self.is_over = is_over

    def take(self, reply: Message) -> tuple[Message, ...]:
        """Return the ASGI 3 messages of a reply.

        Raises `IllegalMessage` and `MessageTooLarge`; such a reply changes nothing.
        """
        if not self.has_begun:
            return self.begin(first_reply(reply, self._limit))
        content = _content(reply, self._limit)
        self._check_later(reply)
        more = bool(reply.get("more_content", False))
        self.is_over = not more
        return ({"type": "http.response.body", "body": content, "more_body": more},)

    def begin(self, first: FirstReply) -> tuple[Message, Message]:
        """Return the ASGI 3 messages of the first reply."""
        head, content, more = first
        self.head = head
        self.has_begun, self.is_over = True, not more
        fields = [(name.lower(), value) for name, value in head.fields]
        return (
            {"type": "http.response.start", "status": head.status_code, "headers": fields},
            {"type": "http.response.body", "body": content, "more_body": more},
        )

    def _check_later(self, reply: Message) -> None:
        """Raise `IllegalMessage` if `reply` cannot follow the first one."""
        if self.is_over:
            raise IllegalMessage(
                "the response is complete, since a reply without a true 'more_content' was sent; "
                f"a reply with {_keys(reply)} came after it"
            )
        for key in ("status", "headers"):
            if reply.get(key):
                raise IllegalMessage(
                    f"{key!r} is for the first reply to a request, which has been sent; later ones "
                    "have 'content' and 'more_content'"
                )
        if reply and not _KEYS & reply.keys():
            raise IllegalMessage(
                f"a reply to an HTTP request has 'content' and 'more_content', not {_keys(reply)}"
            )


def first_reply(reply: Message, limit: int) -> FirstReply:
    """Check the first reply to a request. Raises `IllegalMessage` and `MessageTooLarge`."""
    content = reply.get("content", b"") if type(reply) is dict else None
    if type(content) is not bytes or len(content) > limit:  # else it is plain: a call less
        content = _content(reply, limit)
    if "status" not in reply:
        raise IllegalMessage(
            f"the first reply to a request has the key 'status'; this one has {_keys(reply)}"
        )
    headers = reply.get("headers")
    if type(headers) is not list:  # daphne 1 took an empty dict for no fields, too
        headers = as_fields(None if headers == {} else headers)
    try:
        head = raw_head(reply["status"], headers)
    except IllegalMessage:
        # Text in a field is taken as latin-1, as daphne 1 took it.
        encoded = _encoded(headers)
        if encoded == headers:
            raise
        head = raw_head(reply["status"], encoded)
    return head, content, bool(reply.get("more_content"))


def _content(reply: Message, limit: int) -> bytes:
    """Return the content of any reply. Raises `IllegalMessage` and `MessageTooLarge`."""
    if not isinstance(reply, dict):
        raise IllegalMessage(f"a reply is a dict, not {reply!r:.120}")
    content = reply.get("content", b"")
    if type(content) is not bytes:
        content = _as_bytes(content)
    if len(content) > limit:
        raise MessageTooLarge(
            f"content has {len(content)} bytes, and the channel layer takes {limit} in one "
            "message; send it in pieces, with 'more_content' in all but the last"
        )
    return content


def _keys(reply: Message) -> str:
    return ", ".join(repr(key) for key in reply)[:120] or "no keys"


def _as_bytes(content: object) -> bytes:
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    raise IllegalMessage(f"content is {content!r:.120}, and must be bytes")


def _encoded(fields: list[Any]) -> list[Any]:
    """Return fields with their text as bytes; `fields` itself if that is not what is wrong."""
    try:
        return [
            tuple(part.encode("latin-1") if isinstance(part, str) else part for part in pair)
            if isinstance(pair, list | tuple)
            else pair
            for pair in fields
        ]
    except UnicodeEncodeError:
        return fields
