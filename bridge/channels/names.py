"""Names of channels and groups (ASGI 1, "Strings and Unicode"; rule L6).

A name has 1 to 99 ASCII letters, digits, hyphens, underscores and periods. A channel's name may
have one mark in it, followed by more of these:

==========  =========================  ========================================================
name        kind                       what reads it
==========  =========================  ========================================================
``a.b``     normal                     any process; each message goes to one reader
``a?b``     single-reader              one reader at a time
``a!b``     of a process               the process that reads ``a!``, which is one queue with
                                       all channels of that beginning
==========  =========================  ========================================================
"""

from __future__ import annotations

import re
from typing import Final

#: A name is shorter than this.
MAX_LENGTH: Final = 100
#: How many characters `ChannelLayer.new_channel` adds to a pattern.
RANDOM_LENGTH: Final = 16

_CHANNEL = re.compile(r"[a-zA-Z0-9\-_.]+([?!][a-zA-Z0-9\-_.]*)?", re.ASCII)
_GROUP = re.compile(r"[a-zA-Z0-9\-_.]+", re.ASCII)
_ALLOWED = (
    f"allowed are 1 to {MAX_LENGTH - 1} ASCII letters, digits, hyphens, underscores and periods"
)


def check_channel(name: object) -> str:
    """Return `name` if a message may be sent to a channel of that name; else TypeError."""
    text = _check(name, _CHANNEL, "channel", f"{_ALLOWED}, with one ! or ? between them")
    if text[-1] in "?!":
        raise TypeError(
            f"the channel {text!r} has no name after its {text[-1]}; new_channel({text!r}) makes "
            "one, and reply channels come with one"
        )
    return text


def check_readable(name: object) -> str:
    """Return `name` if `receive` can read it, a process's ``name!`` too; else TypeError."""
    text = _check(name, _CHANNEL, "channel", f"{_ALLOWED}, with one ! or ? between them")
    if "!" in text and not text.endswith("!"):
        raise TypeError(
            f"the channel {text!r} is one of a process, and cannot be read alone: receive "
            f"{queue_of(text)!r}, which gives the messages of all its channels"
        )
    if text.endswith("?"):
        raise TypeError(f"the channel {text!r} has no name after its ?")
    return text


def check_group(name: object) -> str:
    """Return `name` if it is the name of a group; else TypeError."""
    return _check(name, _GROUP, "group", _ALLOWED)


def check_pattern(pattern: object) -> str:
    """Return `pattern` if `new_channel` can make a name of it: one that ends with ``?``.

    Else TypeError. Channels of a process are made by `ChannelLayer.new_reply_channel`.
    """
    if isinstance(pattern, str) and pattern.endswith("?"):
        text = _check(pattern, _CHANNEL, "channel pattern", _ALLOWED)
        if len(text) + RANDOM_LENGTH >= MAX_LENGTH:
            raise TypeError(
                f"the channel pattern {text!r} has {len(text)} characters, and may have "
                f"{MAX_LENGTH - 1 - RANDOM_LENGTH}: a name of it gets {RANDOM_LENGTH} more"
            )
        return text
    raise TypeError(f"the channel pattern is {pattern!r:.120}, and must be a name that ends with ?")


def check_body_channel(name: object) -> str:
    """Return `name` if it is a single-reader channel's, as those of bodies; else TypeError."""
    text = check_channel(name)
    if "?" not in text:
        raise TypeError(f"the channel {text!r} must be a single-reader one, with a ? in its name")
    return text


def check_queue(name: object) -> str:
    """Return the queue of a channel that can be sent to or read; else TypeError."""
    text = _check(name, _CHANNEL, "channel", f"{_ALLOWED}, with one ! or ? between them")
    return queue_of(text)


def queue_of(channel: str) -> str:
    """Return the name of the queue of `channel`: ``a!`` for ``a!b``, else the name itself."""
    start, mark, _ = channel.partition("!")
    return start + mark


def kind_of(queue: str) -> str:
    """Return what `queue` is counted as: ``a?`` for ``a?b``, else its own name."""
    start, mark, _ = queue.partition("?")
    return start + mark


def _check(name: object, allowed: re.Pattern[str], what: str, rule: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} is a str, not {name!r:.120}")
    if len(name) >= MAX_LENGTH or allowed.fullmatch(name) is None:
        raise TypeError(f"the name of a {what} is {name!r:.120}; {rule}")
    return name
