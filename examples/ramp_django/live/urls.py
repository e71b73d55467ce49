"""The old project's URLs, and those of the async views."""

from django.urls import path
from shop.urls import urlpatterns as old_patterns

from live import views

urlpatterns = [
    path("books/<int:number>/stock/not/<int:known>", views.stock),
    *old_patterns,
]
