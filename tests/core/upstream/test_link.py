"""Tests of relayd.core.upstream.link."""

from __future__ import annotations

from tests.support.fleet import World


class LinkTests:
    """What a link says of its session."""

    def test_its_life(self) -> None:
        """Idle without topics while it has hung up; it has asked once all is sent; a new connection is a change."""
        world = World()
        [link] = world.fleet.links
        assert (link.is_idle, link.has_asked, link.changed) == (True, False, False)
        world.want("a")
        assert not link.is_idle
        world.settle()
        [(_, request)] = world.dialling
        assert (request.url, link.has_asked) == ("ws://feed.example/", False)
        world.calm()
        assert (link.has_asked, link.changed, link.number, link.main) == (True, False, 1, True)
        world.unwant("a")
        assert not link.is_idle
        world.calm()
        assert (link.is_idle, link.has_asked, link.was_open) == (True, False, None)
        world.want("a")
        world.accept()
        assert link.was_open is link.session.connection
        link.was_open = None
        assert link.changed
