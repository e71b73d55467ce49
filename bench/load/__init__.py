"""What is asked of a server, and the generators that ask it."""
