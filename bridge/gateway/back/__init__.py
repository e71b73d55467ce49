"""The side of the apps: a host without a socket, which takes requests from Redis."""
