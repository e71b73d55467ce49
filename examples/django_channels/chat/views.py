"""Plain views of Django, which know nothing of WebSockets."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from chat.consumers import group_of


def index(request):
    return render(request, "chat/index.html")


@require_POST
def announce(request):
    """Publish a text to everybody, or to one room."""
    text, room = request.POST["text"], request.POST.get("room")
    publish = async_to_sync(get_channel_layer().group_send)
    if room is None:
        publish("announcements", {"type": "announced", "text": text})
    else:
        publish(group_of(room), {"type": "chat.said", "text": text})
    return HttpResponse("published\n", status=202, content_type="text/plain")
