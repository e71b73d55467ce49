"""What the command says of itself: its help, its first steps, and completion in shells."""
