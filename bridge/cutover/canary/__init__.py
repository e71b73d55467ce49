"""A share of the clients on the new app, judged against the old one, and the way back (M20-M22)."""
