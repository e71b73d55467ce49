"""What the world is told of a server: health and metrics over HTTP, and its life to systemd."""
