"""A Django project with views of both kinds, for `bridge.django`."""
