"""Books in the admin."""

from django.contrib import admin

from catalog.models import Book


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ("title", "price", "stock")
    list_editable = ("stock",)
    search_fields = ("title",)
