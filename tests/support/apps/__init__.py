"""Small apps for tests, to be named as ``tests.support.apps.<module>:app`` on a command line."""
