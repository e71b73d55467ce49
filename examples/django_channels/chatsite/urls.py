"""The project's pages."""

from chat import views
from django.urls import path

urlpatterns = [
    path("", views.index, name="index"),
    path("announce", views.announce, name="announce"),
]
