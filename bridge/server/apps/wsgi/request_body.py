"""Bodies that are kept whole until their app runs (W25); a module of its own for its imports."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile


class Spool(SpooledTemporaryFile[bytes]):
    """A file in memory, or on disk when it is large.

    It is closed when nobody has it any more: the app may keep it, or may never have been called.
    """

    def __del__(self) -> None:
        self.close()
