"""Forks in a patched process."""

from __future__ import annotations

import pytest

from tests.support.programs import run

HEAD = """
import asyncio, bridge
bridge.greenlet_patch()
import multiprocessing, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from tests.runners.patching.threads.jobs import run_jobs

lock, rlock = threading.Lock(), threading.RLock()

def child(number):
    with lock, rlock:
        time.sleep(0.001)
    thread = threading.Thread(target=time.sleep, args=(0.001,))
    thread.start()
    thread.join()
    sys.exit(number)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    """G6: processes can be started from greenlets, and their threads and locks work."""
    program = f"""
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})

    async def main(begin):
        def job():
            process = context.Process(target=child, args=(7,))
            with rlock:
                process.start()
            while process.is_alive():
                time.sleep(0.01)
            return process.exitcode

        print([await begin(job).done for _ in range(2)])
        assert threading.current_thread() is threading.main_thread()

    run_jobs(main)
"""
    if method == "spawn":
        program = program.replace("target=child", "target=time.sleep").replace("(7,)", "(0,)")
    said = run(HEAD, program)
    assert said.strip() == ("[7, 7]" if method == "fork" else "[0, 0]")


def test_fork() -> None:
    """G6: the child of a fork knows which thread lives on, and greenlets keep their numbers."""
    program = """
async def main(begin):
    def job():
        me = threading.get_ident()
        number = os.fork()
        if not number:
            alive = threading.main_thread().is_alive() and len(threading.enumerate()) == 1
            ok = alive and threading.get_ident() == me
            with lock, rlock:
                os._exit(0 if ok else 1)
        return os.waitpid(number, 0)[1], threading.get_ident() == me

    print(await begin(job).done)

run_jobs(main)
"""
    assert run(HEAD, program).strip() == "(0, True)"


def test_the_end_of_the_process() -> None:
    """G6: the process waits for its threads at the end, as ever."""
    program = """
async def main(begin):
    def job():
        time.sleep(0.1)
        print("thread ended")

    await begin(lambda: threading.Thread(target=job, daemon=False).start()).done

run_jobs(main)
print("main ended")
"""
    assert run(HEAD, program).split("\n")[:2] == ["main ended", "thread ended"]
