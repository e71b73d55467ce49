"""What the commands run: a server, a gateway or a worker, each a process with an exit code."""
