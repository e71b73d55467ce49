"""The version, in a module that can be imported without the root."""

__version__ = "0.1.0"
