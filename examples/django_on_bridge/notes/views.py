"""Pages over the ORM, and one view for everything that a host can get wrong."""

import hashlib
import json

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notes.models import Note


def index(request):
    return render(request, "notes/index.html", {"notes": Note.objects.all()})


@require_POST
def add(request):
    """Take the form on the page, with its CSRF token."""
    Note.objects.create(text=request.POST["text"])
    return redirect("index")


def notes_json(request):
    return JsonResponse({"notes": list(Note.objects.values_list("text", flat=True))})


async def count(request):
    """Say how many notes there are, and by which of Django's handlers."""
    number = await Note.objects.acount()
    return JsonResponse({"count": number, "request": type(request).__name__})


def summary(pieces):
    """Return size and hash of a body, read in pieces."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@csrf_exempt
@require_POST
def form(request):
    return JsonResponse({name: request.POST.getlist(name) for name in sorted(request.POST)})


@csrf_exempt
@require_POST
def json_echo(request):
    return JsonResponse({"received": json.loads(request.body)})


@csrf_exempt
@require_POST
def upload(request):
    """Read a form with files; the framework writes large files to temporary files."""
    files = {
        name: {"filename": file.name, **summary(file.chunks())}
        for name, file in sorted(request.FILES.items())
    }
    return JsonResponse({"files": files, "fields": dict(sorted(request.POST.items()))})


@csrf_exempt
def raw(request):
    """Read a body that is not a form, with a Content-Length or chunked."""
    return JsonResponse(summary(iter(lambda: request.read(64 * 1024), b"")))


def download(request):
    """Send a body that is made while it is sent: ``/download?size=1000000``."""
    size = int(request.GET.get("size", 1_000_000))
    pieces = (
        b"%09d\n" % start * (min(10_000, size - start) // 10) for start in range(0, size, 10_000)
    )
    return StreamingHttpResponse(pieces, content_type="text/plain")


def cookies(request):
    """Show the request's cookies, and set two."""
    response = JsonResponse(dict(sorted(request.COOKIES.items())))
    response.set_cookie("first", "one", samesite="Lax")
    response.set_cookie("second", "two, with a comma", httponly=True)
    return response


def away(request):
    return redirect("index")


def error(request):
    raise RuntimeError("on purpose")


@csrf_exempt
def unread(request):
    """Answer without reading the body."""
    return HttpResponse("not read\n", content_type="text/plain")
