"""`bridge.greenlet_patch`, called from outside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import bridge
from tests.support.programs import run


def test_twice() -> None:
    """G6: a second call does nothing."""
    sleep = time.sleep
    bridge.greenlet_patch()
    assert time.sleep is sleep


@pytest.mark.parametrize("modules", ["", "import flask, django.db, requests, sqlalchemy\n"])
def test_price(modules: str) -> None:
    """G6: it takes no time to speak of, and loads no server."""
    code = """
        import sys, time, bridge
        begin = time.process_time()
        bridge.greenlet_patch()
        took = time.process_time() - begin
        print(took, [name for name in sys.modules if name.startswith("bridge.server")])
    """
    took, servers = run(modules, code).strip().split(" ", 1)
    assert float(took) < 5
    assert servers == "[]"


def test_the_end_of_the_process() -> None:
    """G6: finalizers that run when the interpreter is taken apart use what is patched, as ever."""
    code = """
        import bridge
        bridge.greenlet_patch()
        import queue, socket, threading, time

        class Kept:
            lock, items = threading.RLock(), queue.Queue()
            pair, events = socket.socketpair(), threading.Event()

            def __del__(self):
                with self.lock:
                    self.items.put(1)
                self.events.wait(0.001)
                time.sleep(0)
                self.pair[0].sendall(b"x")
                print(self.items.get(), self.pair[1].recv(1), threading.get_ident() > 0)

        _kept = Kept()
    """
    assert run("", code).strip() == "1 b'x' True"


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent", "import gevent.monkey; gevent.monkey.patch_all()"),
        (
            "eventlet",
            "import sys, types; sys.modules['eventlet.patcher'] = module = types.ModuleType('x')\n"
            "module.already_patched = {'time': True}",
        ),
    ],
)
def test_other_libraries(library: str, patch: str) -> None:
    """G6: what gevent or eventlet have changed is not changed again: an error says so."""
    code = """
        import time, bridge
        sleep = time.sleep
        try:
            bridge.greenlet_patch()
        except bridge.ConfigError as error:
            print(error, time.sleep is sleep)
    """
    said = run(patch + "\n", code)
    assert f"{library} has changed the standard library, too" in said
    assert said.strip().endswith("True")


def test_gevent_that_has_changed_nothing() -> None:
    """G6: gevent may be imported, if it has not patched."""
    assert run("import gevent.monkey, bridge\n", "bridge.greenlet_patch(); print('done')") == (
        "done\n"
    )


def test_without_the_package_greenlet(tmp_path: Path) -> None:
    """G6: a package that is missing is named, and how it is installed."""
    (tmp_path / "greenlet.py").write_text("raise ModuleNotFoundError('x', name='greenlet')\n")
    code = """
        import bridge
        for use in (bridge.greenlet_patch, lambda: bridge.WsgiToAsgi(len, runner="greenlet")):
            try:
                use()
            except bridge.ConfigError as error:
                print(error)
    """
    said = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n", code).splitlines()
    needs = "needs the package greenlet, which is not installed: python -m pip install greenlet, or"
    assert said == [
        f"greenlet_patch() {needs} do without it",
        f"runner is 'greenlet', which {needs} choose thread",
    ]


def test_without_parts_in_c() -> None:
    """G6: where the greenlet runner cannot be, an error says what to do, and nothing is changed."""
    code = """
        import sys, time
        sys.modules["bridge.runners.greenlets.thread_locals"] = None
        import bridge
        sleep = time.sleep
        try:
            bridge.greenlet_patch()
        except bridge.ConfigError as error:
            print(error, time.sleep is sleep)
    """
    said = run("", code)
    assert "greenlet_patch() needs parts written in C that cannot be loaded" in said
    assert "or do without it" in said
    assert said.strip().endswith("True")
