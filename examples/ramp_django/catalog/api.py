"""The API, by Django REST framework."""

from django.shortcuts import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from catalog import cart
from catalog.models import Book


class BookSerializer(ModelSerializer):
    class Meta:
        model = Book
        fields = ("id", "title", "price", "stock", "note", "changed")


class Books(ReadOnlyModelViewSet):
    queryset = Book.objects.all()
    serializer_class = BookSerializer


class Cart(APIView):
    """The cart of whoever is logged in."""

    permission_classes = (IsAuthenticated,)

    def get(self, request):
        books = request.session.get("cart", [])
        return Response({"user": request.user.get_username(), "books": books})

    def post(self, request):
        book = get_object_or_404(Book, pk=request.data["book"])
        books = cart.put(request.session, book.pk)
        return Response({"user": request.user.get_username(), "books": books}, status=201)
