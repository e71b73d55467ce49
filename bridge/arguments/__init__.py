"""What callers hand in, judged: values of settings, and kinds of apps."""
