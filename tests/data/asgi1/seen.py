"""What an app of Channels 1.1 saw of a message: the `Message`, and Django's request made of it."""

from __future__ import annotations

from django.conf import settings

settings.configure(CHANNEL_LAYERS={}, ALLOWED_HOSTS=["*"], SECRET_KEY="none")

from channels.handler import AsgiRequest  # noqa: E402
from channels.message import Message  # noqa: E402

#: What an app may ask of a message; the answers are recorded, and the names of exceptions.
QUESTIONS = (
    "message.channel.name",
    "str(message.channel)",
    "message.reply_channel.name == message.content['reply_channel']",
    "str(message.reply_channel) == message.content['reply_channel']",
    "message.reply_channel.channel_layer is message.channel_layer",
    "message.channel_layer is layer",
    "message['path'] == message.content['path']",
    "message['no such key']",
    "message.get('no such key')",
    "message.get('no such key', 1)",
    "message.get('path') == message['path']",
    "'path' in message",
    "'no such key' in message",
    "sorted(message.keys()) == sorted(message.content)",
    "dict(message.items()) == message.content",
    "list(message.values()) == list(message.content.values())",
    "type(message.content).__name__",
    "message.__setitem__('added', 1) or message.content['added']",
    "message.copy().content == message.content",
    "message.copy().content is message.content",
    "message.copy().channel.name",
    "message.copy().reply_channel.name == message.reply_channel.name",
    "message.reply_channel.send('no dict')",
)


def message_answers(channel, content, layer):
    """Return the questions, and what the `Message` with this content answers."""
    message = Message(dict(content), channel, layer)
    found = []
    for question in QUESTIONS:
        try:
            found.append([question, eval(question, {"message": message, "layer": layer})])
        except Exception as error:
            found.append([question, {"raises": type(error).__name__}])
    return found


def as_request(content, layer):
    """Return what a view saw of a request."""
    try:
        request = AsgiRequest(Message(dict(content), "http.request", layer))
        told = {
            name: getattr(request, name)
            for name in ("method", "scheme", "path", "path_info", "content_type", "encoding")
        }
        told["GET"] = [[name, values] for name, values in request.GET.lists()]
        told["COOKIES"] = dict(request.COOKIES)
        told["META"] = {
            name: value for name, value in request.META.items() if not name.startswith("wsgi.")
        }
        told["META"].pop("REMOTE_PORT", None)
        told["META"].pop("SERVER_PORT", None)
        told["body"] = request.body
        return told
    except UnicodeDecodeError as error:
        return {"raises": type(error).__name__}
