"""Tests of relayd.core.upstream.renewal."""

from __future__ import annotations

from math import inf

from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.renewal import Renewal, never_renewed


class RenewalTests:
    """Ends of a connection that nothing is wrong with."""

    def test_too_old(self) -> None:
        """At its age, or up to a tenth earlier; the next one begins anew."""
        renewal = Renewal(UpstreamPolicy(max_age_s=1000.0), lambda: 0.5)
        assert renewal.next_deadline(True) == inf
        renewal.opened(100.0)
        assert renewal.next_deadline(True) == 1050
        assert renewal.due(True, 1049.9) is None
        assert renewal.due(True, 1050.0) == "it has reached connect.max_age"
        renewal.ended()
        assert (renewal.due(False, 1e9), renewal.next_deadline(False)) == (None, inf)

    def test_topics_in_the_url(self) -> None:
        """Changes are gathered from the first one on; one that is taken back costs nothing."""
        renewal = Renewal(UpstreamPolicy(topics_in_url=True, change_s=1.0), lambda: 0.5)
        renewal.opened(0.0)
        assert renewal.next_deadline(False) == inf
        assert renewal.next_deadline(True) == -inf
        assert renewal.due(True, 10.0) is None
        assert renewal.next_deadline(True) == 11
        assert renewal.due(False, 10.5) is None
        assert renewal.due(True, 20.0) is None
        assert renewal.due(True, 20.9) is None
        assert renewal.due(True, 21.0) == "the topics in its URL changed"


class AskedTests:
    """The upstream says that it will end the connection."""

    def test_at_once(self) -> None:
        """And no more when it has ended."""
        renewal = Renewal(UpstreamPolicy(), lambda: 0.5)
        renewal.opened(0.0)
        renewal.ask()
        assert (renewal.asked, renewal.next_deadline(False)) == (True, -inf)
        assert renewal.due(False, 1.0) == "the upstream asked us to come anew"
        renewal.ended()
        assert (renewal.asked, renewal.due(False, 2.0)) == (False, None)

    def test_nobody_takes_over(self) -> None:
        """Where there is no other session."""
        assert not never_renewed("old", None)
