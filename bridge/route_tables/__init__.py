"""What routes an app has, read from its framework without a request (M50)."""
