"""Tests of relayd.core.upstream.redial."""

from __future__ import annotations

from math import inf

import pytest

from relayd.core.feed.spec import CodeRule, Reaction, ReconnectSpec
from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.policy import REFUSED_MOST_S, UpstreamPolicy
from relayd.core.upstream.redial import Redial
from relayd.core.windows import MARGIN_S, SlidingWindow, Windows

BROKEN = Loss(LossKind.BROKEN)


def redial(reaction: Reaction = "retry", windows: Windows | None = None, random: float = 1.0) -> Redial:
    """One whose close code 4000 means `reaction`."""
    policy = UpstreamPolicy(reconnect=ReconnectSpec(codes=(CodeRule(4000, 4000, reaction),)))
    return Redial(policy, windows or Windows(), lambda: random)


def closed(retry_after_s: float | None = None) -> Loss:
    """Closed with 4000."""
    return Loss(LossKind.CLOSED, code=4000, retry_after_s=retry_after_s)


class RedialTests:
    """Pauses between connections."""

    def test_the_first_dial_is_at_once(self) -> None:
        """Nothing happened yet."""
        assert redial().due() == -inf

    def test_backoff(self) -> None:
        """Each failure in a row doubles; a good connection begins again."""
        dial = redial()
        assert [dial.after(BROKEN, 10.0) for _ in range(3)] == [1, 2, 4]
        assert dial.due() == 14.0
        dial.proved()
        assert dial.after(BROKEN, 20.0) == 1

    def test_wait(self) -> None:
        """`wait` is a minute where the upstream does not say, and what it says where it does."""
        assert redial("wait").after(closed(), 0.0) == 60
        assert redial("wait").after(closed(7.0), 0.0) == 7
        assert redial("wait").after(closed(1e9), 0.0) == 3600

    def test_retry_after_is_obeyed_whatever_the_rule(self) -> None:
        """A longer one than our own pause; never a shorter."""
        assert redial().after(closed(30.0), 0.0) == 30
        assert redial(5.0).after(closed(30.0), 0.0) == 30
        assert redial(50.0).after(closed(30.0), 0.0) == 50

    def test_a_fixed_pause(self) -> None:
        """Once as it stands; `0s` answered by another failure is no storm."""
        dial = redial(0.0)
        assert [dial.after(closed(), 0.0) for _ in range(4)] == [0, 2, 4, 8]

    def test_stop(self) -> None:
        """For ever, and not counted as a refusal."""
        dial = redial("stop")
        assert dial.refuses(closed())
        assert dial.after(closed(), 0.0) == inf
        assert (dial.due(), dial.refusals) == (inf, 0)

    def test_refusals(self) -> None:
        """Five minutes, doubling, up to six hours; a longer Retry-After counts; a fresh start forgets them."""
        dial = redial()
        refused = Loss(LossKind.LOGIN)
        assert dial.refuses(refused)
        assert [dial.after(refused, 0.0) for _ in range(3)] == [300, 600, 1200]
        for _ in range(100):
            longest = dial.after(refused, 0.0)
        assert longest == REFUSED_MOST_S
        dial.begin()
        assert (dial.due(), dial.refusals) == (-inf, 0)
        assert dial.after(Loss(LossKind.HTTP, status=401, retry_after_s=900.0), 0.0) == 900

    @pytest.mark.parametrize(("proved", "pauses"), [(True, [0, 0]), (False, [1, 2])])
    def test_goodbyes(self, proved: bool, pauses: list[float]) -> None:
        """Our own goodbye is followed by no pause, unless connections do not hold."""
        dial = redial()
        assert [dial.after_goodbye(proved, 0.0) for _ in pauses] == pauses

    def test_the_window_of_dials(self) -> None:
        """Whatever the pause, limits.connect holds."""
        dial = redial(windows=Windows(connect=SlidingWindow(1, 100)), random=0.0)
        dial.dialled(0.0)
        assert dial.after(BROKEN, 1.0) == 0
        assert dial.due() == 100 + MARGIN_S

    def test_the_old_socket(self) -> None:
        """A dial waits for its end, or five seconds; a socket of long ago is not waited for twice."""
        dial = redial(random=0.0)
        dial.socket_open()
        assert dial.due() == -inf
        assert dial.after_goodbye(True, 10.0) == 0
        assert dial.due() == 15
        dial.socket_open()
        dial.after(BROKEN, 20.0)
        dial.socket_closed()
        assert dial.due() == 25
        dial.socket_closed()
        assert dial.due() == 20

    def test_the_end_of_the_socket_comes_first(self) -> None:
        """Then there is nothing to wait for."""
        dial = redial(random=0.0)
        dial.socket_open()
        dial.socket_closed()
        dial.after(BROKEN, 10.0)
        assert dial.due() == 10


class TakingOverTests:
    """The first dial of a session that takes over from another."""

    def test_an_upstream_that_sends_everybody_on(self) -> None:
        """At the pace of the old one's backoff."""
        old, new = redial(), redial()
        old.after(BROKEN, 0.0)
        new.hurry_not(old, 10.0)
        assert new.due() == 12.0
        newer = redial()
        newer.hurry_not(new, 20.0)
        assert newer.due() == 24.0

    def test_sockets(self) -> None:
        """By when they are closed: at once, or five seconds after the end."""
        dial = redial()
        assert dial.closed_by == -inf
        dial.socket_open()
        dial.after_goodbye(True, 10.0)
        assert dial.closed_by == 15.0
        dial.socket_closed()
        assert dial.closed_by == -inf
