"""Apps that do what a move to another server brings to light; each is one line of a report."""
