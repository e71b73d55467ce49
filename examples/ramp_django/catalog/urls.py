"""The URLs of the pages."""

from django.urls import path

from catalog import views

urlpatterns = [
    path("", views.index, name="index"),
    path("books/<int:number>/", views.book, name="book"),
    path("cart/", views.put_into_cart, name="cart"),
    path("prices.csv", views.price_list),
]
