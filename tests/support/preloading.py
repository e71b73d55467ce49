"""A program that has templates forked as a supervisor does, and hears what comes of it."""

from __future__ import annotations

from tests.support import programs

HEAD = """
import asyncio, json, os, select, signal, socket, sys, threading, time
from bridge.server.config.config import Config
from bridge.server.logs.loggers import configure_logging
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Fork, Member
from bridge.server.process.forking import ForkingLoop
from bridge.server.process.links import Links
from bridge.server.process.preload import templates as module

forking = ForkingLoop()
config = Config(app="tests.support.apps.hello:wsgi", preload=True)
configure_logging(config)
signals = [signal.SIGTERM, signal.SIGCHLD]
#: Slot, pid and error of what came of each order.
told = []
templates = module.Templates(forking, lambda *what: told.append((what[0].slot, *what[1:])))
#: Slot and message of each that a worker has sent.
heard = []
links = Links(
    forking.loop, lambda member, messages: heard.extend((member.slot, each) for each in messages)
)

def order(slot, generation=1, config=config):
    member = Member(slot, generation, 0.0)
    ends = links.make()
    member.pid = templates.fork(Fork(member, config), ends, [], signals)
    links.add(member, ends)
    return member

def wait_for(number, what=told):
    async def wait():
        while len(what) < number:
            await asyncio.sleep(0.01)
    forking.run(asyncio.wait_for(wait(), 50))

def reap(pid):
    while True:
        try:
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:  # its parent is about to end, and this process to be that
            time.sleep(0.01)

def kill(pid):
    os.kill(pid, signal.SIGKILL)
    assert reap(pid) == signal.SIGKILL

def wait_for_hang_up(generation=1):
    "Nobody has the template's end of its orders any more."
    poll = select.poll()
    poll.register(templates._by_generation[generation].orders, 0)
    assert poll.poll(50_000)

"""


def run(program: str) -> str:
    """Run a program to its end, and return what it prints."""
    return programs.run(HEAD, program)
