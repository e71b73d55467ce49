"""Sockets and apps apart: a gateway holds the clients, workers run the apps, Redis lies between."""
