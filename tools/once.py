"""Rules that stand once: where code looks like one of them, and is not in its place.

That a rule stands once cannot be proved from the text. What looks like it is found; what is hidden
on purpose is not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from tools.modules import Module, code

#: Where a rule stands: nowhere else is anything that looks like it.
MOUNT_RULE = {"bridge/http/paths.py"}
SMALL_ANSWER = {"bridge/http/error_response.py"}
RESPONSE_STATUS = {"bridge/http/status.py"}
HTTP1_BYTES = {
    "bridge/http/plain_fields.py": "the head of a response",
    "bridge/http/response_fields.py": "the head of a response",
    "bridge/http/response_head.py": "the head of a response",
    "bridge/server/http1/response.py": "the rest of a response",
    "bridge/websocket/handshake.py": "the answer to a handshake",
}
#: The first bytes of a PROXY header are ends of lines; it is read here, and never written.
READS_ALONE = {"bridge/server/proxy/proxy_protocol.py"}
#: What is cut here are names of modules and bytes of the wire, no paths.
CUTS_OTHER_THINGS = {
    "bridge/server/apps/loading.py",
    "bridge/server/apps/targets.py",
    "bridge/server/http1/chunked.py",
    "bridge/server/proxy/proxy_protocol.py",
}


class Figure(NamedTuple):
    """What is counted, in words; the worst of it; the most that is allowed; what is above that."""

    name: str
    value: float
    most: float
    above: list[str]


Looks = Callable[[Module, ast.AST, ast.AST], bool]


def _places(name: str, modules: list[Module], looks: Looks, allowed: set[str]) -> Figure:
    """Which files have code that looks like a rule; one file is allowed to."""
    found: dict[str, str] = {}
    for module in modules:
        lines = module.text.splitlines()
        for node, parent in code(module):
            if looks(module, node, parent):
                number = getattr(node, "lineno", 1)
                line = f"{module.path}:{number} {lines[number - 1].strip()}"
                found.setdefault(module.path, line)
    above = [line for path, line in found.items() if path not in allowed]
    return Figure(name, len(found), len(allowed), above)


def places_of_the_mount_rule(modules: list[Module]) -> Figure:
    """Where a path is cut at a mount point (W3, D1, D8): at no literal, and no constant."""
    others = [module for module in modules if module.path not in CUTS_OTHER_THINGS]
    return _places("places of the mount rule", others, _cuts_a_prefix, MOUNT_RULE)


def _cuts_a_prefix(module: Module, node: ast.AST, parent: ast.AST) -> bool:
    match node:
        case ast.Call(
            func=ast.Attribute(attr="startswith" | "removeprefix"), args=[prefix, *_]
        ) if not _is_fixed(prefix):
            return True
        case ast.Slice(lower=ast.expr() as lower):
            return any(
                isinstance(each, ast.Call)
                and ast.unparse(each.func) == "len"
                and not _is_fixed(each.args[0])
                for each in ast.walk(lower)
            )
    return False


def _is_fixed(node: ast.AST) -> bool:
    """Whether a node is a literal, or a constant by its name."""
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=parts):
            return all(_is_fixed(part) for part in parts)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
    return False


def places_of_the_head(modules: list[Module]) -> Figure:
    """Where the status of a response is judged: compared with the ends of what there can be."""
    name = "places where the status of a response is judged"
    return _places(name, modules, _judges_a_status, RESPONSE_STATUS)


#: The first and last numbers of a status, and those beside them. That errors begin at 500 is no
#: judgement.
_ENDS = {99, 100, 101, 199, 200, 599, 600, 999, 1000}


def _judges_a_status(module: Module, node: ast.AST, parent: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=first), _]):
            return first in _ENDS
        case ast.Compare(left=left, ops=ops, comparators=others):
            if any(isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for op in ops):
                parts = [left, *others]
                ends = {each.value for each in parts if isinstance(each, ast.Constant)} & _ENDS
                return bool(ends) and any("status" in ast.unparse(each) for each in parts)
    return False


def places_of_the_small_answer(modules: list[Module]) -> Figure:
    """Where an answer of ours gets its text."""
    return _places("places of the small answer", modules, _is_plain_text, SMALL_ANSWER)


def _is_plain_text(module: Module, node: ast.AST, parent: ast.AST) -> bool:
    text = _literal(node).lower()
    return "text/plain" in text and "version=" not in text  # the latter is Prometheus' format


def files_that_write_http1(modules: list[Module]) -> Figure:
    """Where status lines, field lines and chunks are made: everything with the end of a line."""
    name = "places that write HTTP/1 bytes, the head and its fields counted as one"
    modules = [module for module in modules if module.path not in READS_ALONE]
    figure = _places(name, modules, _writes_an_end_of_line, {*HTTP1_BYTES})
    places = {HTTP1_BYTES.get(line.partition(":")[0], line) for line in _all(modules)}
    return figure._replace(value=len(places), most=len({*HTTP1_BYTES.values()}))


def _all(modules: list[Module]) -> list[str]:
    """Every file that writes ends of lines, those that may included."""
    return _places("", modules, _writes_an_end_of_line, set()).above


#: Methods that only look for an end of a line.
_READS = {
    *("find", "rfind", "index", "rindex", "count", "split", "rsplit", "partition", "rpartition"),
    *("startswith", "endswith", "removeprefix", "removesuffix", "strip", "rstrip", "lstrip"),
}


def _writes_an_end_of_line(module: Module, node: ast.AST, parent: ast.AST) -> bool:
    is_named = isinstance(node, ast.Name) and node.id in _line_ends(module)
    if not is_named and "\r\n" not in _literal(node):
        return False
    match parent:
        case ast.Compare():
            return False
        case ast.Call(func=ast.Name(id="len")):
            return False
        case ast.Call(func=ast.Attribute(attr=method)) | ast.Attribute(attr=method):
            return method not in _READS
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()):
            return False  # how it is used is looked at
    return True


@cache
def _line_ends(module: Module) -> set[str]:
    """The names that stand for an end of a line in a module."""
    found = set()
    for node in ast.walk(module.tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if "\r\n" in _literal(value):
                found.add(name)
    return found


def _literal(node: ast.AST) -> str:
    """The text or the bytes of a literal; else nothing."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Constant(value=bytes(data)):
            return data.decode("latin-1")
    return ""
