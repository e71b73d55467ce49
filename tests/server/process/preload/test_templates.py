"""What a supervisor does with its templates; each test is a program of its own, which forks."""

from __future__ import annotations

from tests.support.preloading import run


def test_one_order_at_a_time() -> None:
    """P11: a template stands for its first worker, and has the others forked one by one; all of
    them are children of the supervisor."""
    run(
        """
        templates.close()  # there are none yet
        first = order(0)
        fork = Fork(Member(1, 1, 0.0), config)
        assert first.pid and not templates.can_fork(fork)
        assert templates.can_fork(Fork(Member(1, 2, 0.0), config))  # another generation
        wait_for(1)
        assert templates.can_fork(fork)
        assert order(1).pid == 0 and not templates.can_fork(fork)
        wait_for(2)
        pids = [pid for slot, pid, error in told]
        assert told == [(0, pids[0], ""), (1, pids[1], "")] and first.pid not in pids
        for pid in pids:
            kill(pid)
        templates.reopen_logs()
        templates.reaped(pids[0])
        templates.close()
        try:
            os.kill(first.pid, 0)
        except ProcessLookupError:
            pass
        else:
            raise AssertionError("the template is still there")
        """
    )


def test_one_that_has_ended_is_made_again() -> None:
    """P11: with the next order, whether its end has been heard of or not."""
    shown = run(
        """
        first = order(0)
        wait_for(1)
        kill(first.pid)
        wait_for_hang_up()
        second = order(1)  # it is noticed by the order
        assert second.pid not in (0, first.pid)
        wait_for(2)
        kill(second.pid)
        templates.reaped(second.pid)
        third = order(2)
        assert third.pid
        wait_for(3)
        templates.close()
        """
    )
    assert shown.count("has ended: its workers serve on") == 2


def test_one_that_does_not_fork() -> None:
    """P11: it is ended, and its order has failed."""
    run(
        """
        module.FORK_LIMIT = 0.1
        template = order(0).pid
        wait_for(1)
        os.kill(template, signal.SIGSTOP)
        order(1)
        wait_for(2)
        assert told[1] == (1, 0, f"the template process {template} has ended")
        assert templates.can_fork(Fork(Member(1, 1, 0.0), config))
        templates.close()
        """
    )


def test_more_answers_than_orders() -> None:
    """They mean nothing."""
    run(
        """
        from bridge.server.process.preload.template import Template
        answer = Template._answer

        def answer_twice(self, message):
            answer(self, message)
            answer(self, message)

        Template._answer = answer_twice
        order(0)
        wait_for(1)
        order(1)
        wait_for(2)
        assert [slot for slot, pid, error in told] == [0, 1]
        templates.close()
        """
    )


def test_one_that_ends_while_it_imports() -> None:
    """P11: that is told when it is reaped, as of any worker."""
    run(
        """
        template = order(0, config=Config(app="nothing_of_that_name", preload=True)).pid
        wait_for(1, heard)
        [(slot, failed)] = heard
        assert (failed["type"], failed["code"]) == ("failed", 3)
        assert os.waitpid(template, 0)[1] >> 8 == 3
        templates.reaped(template)
        assert not told
        """
    )


def test_those_that_are_not_wanted() -> None:
    """P11: they end, also with an order that is under way; not one that imports: the fleet does."""
    run(
        """
        fleet = Fleet(config, lambda most: 0)
        old = order(0).pid
        wait_for(1)
        new = order(1, generation=2).pid
        templates.keep(fleet)  # as far as is known, it still imports
        wait_for(2)
        order(2, generation=2)
        fleet.reload(config, 0.0)
        templates.keep(fleet)  # both generations are wanted
        wait_for(3)
        os.kill(new, signal.SIGSTOP)
        order(3, generation=2)
        fleet.stop(0.0)
        templates.keep(fleet)
        assert told[3:] == [(3, 0, "it is not wanted any more")], told
        ended = [os.waitpid(pid, 0)[1] for pid in (old, new)]
        assert ended[0] in (0, signal.SIGKILL), ended  # 0: it has read that all is over
        assert ended[1] == signal.SIGKILL, ended
        templates.close()
        """
    )


def test_a_system_that_forks_no_more() -> None:
    """P11: an order fails, in the supervisor or in the template; the next one may succeed."""
    run(
        """
        def refuse():
            raise OSError(11, "no more processes")

        fork, os.fork = os.fork, refuse
        try:
            order(0)
        except OSError as error:
            assert error.errno == 11
        else:
            raise AssertionError("it has forked")
        supervisor = os.getpid()
        os.fork = lambda: fork() if os.getpid() == supervisor else refuse()
        order(1)
        wait_for(1)
        assert told == [(1, 0, "[Errno 11] no more processes")], told
        os.fork = fork
        templates.close()
        """
    )
