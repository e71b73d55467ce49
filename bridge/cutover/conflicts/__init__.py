"""What the routes of a cutover and the routes of its apps say against each other (M4)."""
