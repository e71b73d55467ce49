"""The URLs of the API."""

from django.urls import path
from rest_framework.routers import DefaultRouter

from catalog.api import Books, Cart

router = DefaultRouter()
router.register("books", Books)

urlpatterns = [path("cart/", Cart.as_view()), *router.urls]
