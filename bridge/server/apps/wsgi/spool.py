"""A file for a large request body; a module of its own, as `tempfile` takes nearly 1 MB."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile


class Spool(SpooledTemporaryFile[bytes]):
    """A file in memory, or on disk when it is large.

    It is closed with its last reference: the app may keep it, or may never have been called.
    """

    def __del__(self) -> None:
        self.close()
