"""Clients that notice every request that is lost while a server is deployed."""
