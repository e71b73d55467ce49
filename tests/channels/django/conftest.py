"""The Redis that these tests use; and nothing of them where Channels is not installed."""

from importlib.util import find_spec

from tests.support.redis import redis_server

__all__ = ["redis_server"]

collect_ignore_glob = [] if find_spec("channels") else ["test_*.py"]
