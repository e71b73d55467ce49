from typing import Any

def read_head(
    head: bytes, count_limit: int, /
) -> tuple[str, bytes, bytes, bytes, list[tuple[bytes, bytes]], bool] | None: ...
def join_fields(
    line: bytes, fields: list[Any], roles: dict[Any, int], kind: type[Any], /
) -> tuple[bytes, int | None, bool] | None: ...
def add_headers(
    environ: dict[str, Any], headers: list[tuple[bytes, bytes]], keys: dict[bytes, str], /
) -> int: ...
