"""What servers and adapters do in cases that matter, by asking them; and the tables of it."""
