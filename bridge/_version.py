"""The version, where everything inside can read it without importing the root."""

__version__ = "0.1.0"
