"""Fixtures that start real servers, and their words when a test fails."""

from __future__ import annotations

import gc
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from hypothesis import settings

from bridge import accelerator
from tests.support import compiled, hosts
from tests.support.hosts import Command, Host

# How long one example takes says more about the machine than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

StartHost = Callable[[Command], Host]

#: Folders whose files have few tests, which start servers and take long.
FEW_BUT_LONG = ("live", "wire")


def pytest_configure() -> None:
    """Take away ignored signals, as a shell starts what runs in the background (``&``, nohup).

    Servers inherit an ignored signal, and tests send them some. A function of ours ignores it as
    well here, and is not inherited.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while thousands of tests are made, nor among them later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for another at the end."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        sizes = Counter(item.path for item in items)
        tests = Path(__file__).parent
        items.sort(
            key=lambda item: (
                item.path not in slow,
                item.path.relative_to(tests).parts[0] not in FEW_BUT_LONG,
                -sizes[item.path],
                str(item.path),
            )
        )


@pytest.fixture(scope="session", autouse=True)
def frameworks_of_other_tests() -> Iterator[None]:
    """Have apps in this process read their bodies as if no test had loaded Django into it.

    Which frameworks are loaded decides how bodies of unknown length are read (W24). The tests of
    that start a server for it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.wsgi.input.needs_length", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have each client in this process read one authority, and not the hundred of the Web.

    No test asks the Web, and thousands make a client for one request to 127.0.0.1.
    """
    one = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(str(one))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("certifi.where", lambda: str(one))
        yield


@pytest.fixture(scope="module", params=["Python", "C"])
def with_and_without_accelerator(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a file twice: all in Python, and with the accelerator, compiled from its source."""
    module = compiled.speedups() if request.param == "C" else None
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_head", "add_headers"):
            patch.setattr(accelerator, name, getattr(module, name, None))
        yield


@pytest.fixture
def start_host() -> Iterator[StartHost]:
    """``start_host(command) -> Host``: a server for this test alone, ended with it."""
    with ExitStack() as running:
        yield lambda command: running.enter_context(hosts.start(command))


@pytest.fixture(scope="module")
def shared_host() -> Iterator[StartHost]:
    """``shared_host(command) -> Host``: started by the first test of a module that asks for it."""
    started: dict[Command, Host | hosts.HostError] = {}
    with ExitStack() as running:

        def get(command: Command) -> Host:
            host = started.get(command)
            if host is None or (isinstance(host, Host) and host.process.poll() is not None):
                try:
                    host = running.enter_context(hosts.start(command))
                except hosts.HostError as error:
                    host = error  # the same for each test that asks, without waiting again
                started[command] = host
            if isinstance(host, hosts.HostError):
                raise host
            return host

        yield get


_LOG_SIZES = pytest.StashKey[dict[Host, int]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note how much each host has said before this test."""
    item.stash[_LOG_SIZES] = {host: host.log_size() for host in hosts.RUNNING}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what the hosts said meanwhile."""
    report = yield
    if report.failed:
        before = item.stash.get(_LOG_SIZES, {})
        for host in hosts.RUNNING:
            said = host.log(before.get(host, 0))
            report.sections.append((f"log of {host}", said[-8000:] or "(nothing)"))
    return report
