"""The pages."""

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from catalog import cart
from catalog.models import Book


def index(request):
    in_cart = request.session.get("cart", [])
    return render(request, "catalog/index.html", {"books": Book.objects.all(), "cart": in_cart})


def book(request, number):
    return render(request, "catalog/book.html", {"book": get_object_or_404(Book, pk=number)})


@require_POST
def put_into_cart(request):
    """Take the form on the page, with its CSRF token."""
    cart.put(request.session, get_object_or_404(Book, pk=request.POST["book"]).pk)
    return redirect("index")


def price_list(request):
    """Send all prices as CSV, while they are read."""
    lines = (f'"{book.title}",{book.price}\n' for book in Book.objects.iterator())
    return StreamingHttpResponse(lines, content_type="text/csv")
