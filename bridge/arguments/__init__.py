"""Check what callers pass in: values of settings, signatures of callables, kinds of apps."""
