"""`--preload` over real processes: one import for all workers, and nothing else is different."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import ENV, ROOT, Command, Host, bridge, migrate
from tests.support.processes import children
from tests.support.programs import serve_to_the_end
from tests.support.waiting import eventually
from tests.wire.operation.test_workers import Shop, lives, under_load

NOTE = """
import os, threading, time

def note(what):
    with open("notes", "a") as notes:
        notes.write(f"{what} {os.getpid()}\\n")

note("import")
VERSION = "one"
"""
WSGI = (
    NOTE
    + """
def app(environ, start_response):
    thread = threading.current_thread() is threading.main_thread()
    body = {"/pid": str(os.getpid()), "/main": str(thread)}.get(environ["PATH_INFO"], VERSION)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
"""
)
ASGI = (
    NOTE
    + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            note(word)
            await send({"type": f"lifespan.{word}.complete"})
        return
    body = {"/pid": str(os.getpid())}.get(scope["path"], VERSION).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
)
#: An ASGI app behind both bridges: its loop is `AsgiToWsgi`'s own.
BOTH_WAYS = ASGI + "\nfrom bridge import AsgiToWsgi\napp = AsgiToWsgi(app, eager=True)\n"


class PreloadedShop(Shop):
    """The same with `--preload`; its apps note in a file who has imported them."""

    def start(self, *options: str, workers: int = 2, source: str = WSGI) -> Host:
        return super().start("--preload", *options, workers=workers, source=source)

    def noted(self, what: str) -> list[int]:
        """The processes that have noted this, in order."""
        lines = [line.split() for line in (self.folder / "notes").read_text().splitlines()]
        return [int(pid) for said, pid in lines if said == what]

    def workers(self) -> set[int]:
        return super().workers() - set(self.noted("import"))


@pytest.fixture
def shop(tmp_path: Path, start_host: StartHost) -> PreloadedShop:
    return PreloadedShop(tmp_path, start_host)


def test_the_app_is_imported_once(shop: PreloadedShop) -> None:
    """P11: by a process of its own, which serves nothing; its lifespan runs in each worker."""
    host = shop.start(workers=3, source=ASGI)
    workers = shop.workers()
    [template] = shop.noted("import")
    assert len(workers) == 3
    assert {int(shop.get("/pid")) for _ in range(20)} <= workers
    assert host.process.pid not in (template, *workers)
    assert host.stop() == 0
    assert set(shop.noted("startup")) == set(shop.noted("shutdown")) == workers
    assert len(shop.noted("import")) == 1
    assert not any(map(lives, [template, *workers]))


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
def test_what_runs_an_app_is_made_in_the_workers(shop: PreloadedShop, runner: str) -> None:
    """P11: threads and loops would not live on in a fork."""
    shop.start("--runner", runner)
    assert {shop.get("/main") for _ in range(5)} == {str(runner != "thread")}
    shop.signal(signal.SIGTERM)
    assert shop.host.process.wait(30) == 0


def test_an_eager_asgi_app_as_a_wsgi_app(shop: PreloadedShop) -> None:
    """P11, A31: the loop of `AsgiToWsgi` is made in each worker, also if it was at the import."""
    shop.start(source=BOTH_WAYS)
    assert {int(shop.get("/pid")) for _ in range(20)} <= shop.workers()
    assert shop.host.stop() == 0


def test_a_worker_that_crashes_is_replaced_without_an_import(shop: PreloadedShop) -> None:
    """P11, P1: the supervisor hears of its end, though it has not forked it."""
    shop.start()
    [template] = shop.noted("import")
    shop.write(WSGI.replace('"one"', '"two"'))
    victim = min(shop.workers())
    os.kill(victim, signal.SIGKILL)
    shop.wait_for(f"worker {victim}: was killed by SIGKILL")
    shop.wait_for("serves (2 of 2)", times=2)
    assert shop.get() == "one"
    assert shop.noted("import") == [template]


def test_a_reload_imports_new_code_once(shop: PreloadedShop) -> None:
    """P11, P3: the template of the old code goes; no request fails."""
    host = shop.start(workers=3)
    [template] = shop.noted("import")
    old = shop.workers()

    def reload(load: object) -> None:
        shop.write(WSGI.replace('"one"', '"two"'))
        shop.signal(signal.SIGHUP)
        shop.wait_for("reloaded: 3 new workers")

    under_load(host, reload, ["/"])
    assert shop.get() == "two"
    assert len(shop.noted("import")) == 2
    eventually(lambda: not any(map(lives, [template, *old])))
    assert len(shop.workers()) == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (NOTE + "app = 1/0", "ZeroDivisionError"),
        (NOTE + "os._exit(7)", "ended with exit code 7 before it had started"),
        (ASGI.replace("{word}.complete", "startup.failed"), "startup"),
    ],
    ids=["import", "exit", "lifespan"],
)
def test_a_bad_version_leaves_the_old_one(shop: PreloadedShop, source: str, said: str) -> None:
    """P11, P3: whether it fails in the template or in the first worker."""
    host = shop.start()
    eventually(lambda: len(shop.workers()) == 2)
    template, workers = shop.noted("import"), shop.workers()
    offset = host.log_size()
    shop.write(source)
    shop.signal(signal.SIGHUP)
    shop.wait_for("the reload was given up, and the old workers serve on")
    assert said in host.log(offset)
    eventually(lambda: shop.workers() == workers)
    assert shop.get() == "one"
    eventually(lambda: not any(map(lives, shop.noted("import")[1:])))
    assert all(map(lives, template))


def test_a_failed_import_ends_the_start_with_3(tmp_path: Path) -> None:
    """P11, P1: its error is told once."""
    (tmp_path / "shop.py").write_text(NOTE + "app = 1/0\n")
    ended = serve_to_the_end(tmp_path, "shop:app", "-w4", "--preload")
    assert ended.returncode == 3
    assert ended.stderr.count("Error: importing shop failed: ZeroDivisionError") == 1
    assert (tmp_path / "notes").read_text().count("import") == 1


def test_a_template_that_is_killed(shop: PreloadedShop) -> None:
    """P11: its workers serve on; the next worker that is wanted has another one made."""
    host = shop.start()
    [template] = shop.noted("import")
    workers = shop.workers()
    os.kill(template, signal.SIGKILL)
    shop.wait_for(f"the template process {template} has ended")
    assert shop.get() == "one"
    assert shop.workers() == workers
    shop.signal(signal.SIGTTIN)
    shop.wait_for("serves (3 of 3)")
    shop.signal(signal.SIGTTIN)
    shop.wait_for("serves (4 of 4)")
    assert len(shop.noted("import")) == 2
    assert workers < shop.workers()
    assert host.stop() == 0


def test_all_end_with_a_supervisor_that_is_killed(shop: PreloadedShop) -> None:
    """P11, P7: the template as well; also one that imports."""
    host = shop.start()
    family = shop.workers() | {*shop.noted("import")}
    shop.write(NOTE + "time.sleep(600)")
    shop.signal(signal.SIGHUP)
    eventually(lambda: len(shop.noted("import")) == 2)
    host.process.kill()
    host.process.wait()
    eventually(lambda: not any(map(lives, family | {*shop.noted("import")})))


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_stop_while_the_app_is_imported(tmp_path: Path, is_deaf: bool) -> None:
    """P11, P2: it waits for no import; a second SIGINT cuts one that does not heed the first."""
    deaf = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    source = (deaf if is_deaf else "") + NOTE + "time.sleep(600)\n"
    (tmp_path / "shop.py").write_text(source)
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", "shop:app", "--port=0", "--preload"],
        cwd=tmp_path,
        env={**os.environ, **ENV, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    notes = tmp_path / "notes"
    eventually(lambda: notes.exists() and notes.read_text())
    template = int(notes.read_text().split()[1])
    process.send_signal(signal.SIGINT if is_deaf else signal.SIGTERM)
    if is_deaf:
        eventually(lambda: is_pending(template, signal.SIGTERM))  # the first one has been heard
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == (130 if is_deaf else 0)
    assert not lives(template)


def is_pending(pid: int, number: int) -> bool:
    """Whether the process has been sent this signal, which it holds back."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("\nShdPnd:")[2].split()[0], 16) >> number - 1 & 1)


def test_threads_of_the_import_are_told_of(shop: PreloadedShop) -> None:
    """P11: they do not run in the workers; once, with their names."""
    thread = "threading.Thread(target=time.sleep, args=(600,), name='refresher', daemon=True)"
    host = shop.start(workers=3, source=f"{WSGI}\n{thread}.start()\n")
    assert host.log().count("importing the app has started threads (refresher)") == 1


def test_post_fork_is_called_in_each_worker(shop: PreloadedShop) -> None:
    """P11: after the import then, and before the lifespan."""
    hook = "\ndef post_fork(config):\n    note('fork')\n"
    shop.start("--post-fork", "shop:post_fork", workers=3, source=ASGI + hook)
    assert set(shop.noted("fork")) == shop.workers()
    assert len(shop.noted("import")) == 1


def test_log_files_are_opened_again(shop: PreloadedShop) -> None:
    """P11, P5: also those that the app has opened, and the next worker gets from the template."""
    source = f"{ASGI}\nimport logging\nlogging.root.addHandler(logging.FileHandler('own.log'))\n"
    source = source.replace('note("import")', 'note("import")', 1)
    source = source.replace("note(word)", "note(word); logging.error('in %d', os.getpid())")
    shop.start(source=source)
    own = shop.folder / "own.log"
    own.rename(shop.folder / "own.log.1")
    shop.signal(signal.SIGUSR1)
    eventually(own.exists)
    shop.wait_for("opened again", times=3)
    shop.signal(signal.SIGTTIN)
    shop.wait_for("serves (3 of 3)")
    eventually(lambda: f"in {shop.noted('startup')[-1]}" in own.read_text())


def test_replacement(shop: PreloadedShop) -> None:
    """P11, P4: no import, and no request is lost."""
    host = shop.start("--max-requests", "100")
    under_load(host, lambda load: shop.wait_for("is to be replaced", times=2), ["/"])
    assert len(shop.noted("import")) == 1


# ------------------------------------------------------------- P12: memory


def pss(pids: set[int]) -> int:
    """The memory of these processes in KiB; what they share counts once, if they all are given."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(each.partition("\nPss:")[2].split()[0]) for each in rollups)


def all_of(host: Host) -> set[int]:
    """The process that was started, and those below it."""
    return {host.process.pid, *children(host.process.pid)}


def warm_up(host: Host) -> None:
    for _ in range(40):
        assert httpx.get(host.url("/"), timeout=60).status_code == 200


def memory_of_one_more(host: Host) -> float:
    """What each of three more workers takes, in KiB."""
    warm_up(host)
    one = pss(all_of(host))
    for number in (2, 3, 4):
        host.process.send_signal(signal.SIGTTIN)
        wait_for(host, f"serves ({number} of {number})")
    warm_up(host)
    return (pss(all_of(host)) - one) / 3


def wait_for(host: Host, line: str) -> None:
    eventually(lambda: line in host.log(), 60)


def django(database: Path) -> Command:
    migrate(database)
    folder = str(ROOT / "examples" / "django_on_bridge")
    command = bridge("mysite.wsgi:application", "--app-dir", folder)
    return command.with_env(EXAMPLE_DATABASE=str(database))


def flask(database: Path) -> Command:
    return bridge("examples.flask_on_bridge:app")


@pytest.mark.parametrize("example", [django, flask])
def test_memory_of_a_worker_beyond_the_first(
    start_host: StartHost, tmp_path: Path, example: Callable[[Path], Command]
) -> None:
    """P12: at most 60 % of what the app takes in a process that serves alone."""
    command = example(tmp_path / "database")
    lone = start_host(command)
    warm_up(lone)
    alone = pss(all_of(lone))
    lone.stop()
    host = start_host(replace(command, argv=(*command.argv, "--preload")))
    assert memory_of_one_more(host) <= 0.6 * alone
