"""What is measured: scenarios, and how each of their figures is taken."""
