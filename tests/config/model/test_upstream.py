"""One feed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.dialect import Heartbeat
from relayd.config.model.upstream import Upstream
from relayd.config.scalars import OFF


def upstream(**block):
    """An upstream with these blocks."""
    return Upstream.model_validate({"connect": {"url": "wss://a"}, "topic": {"at": "ch"}, **block})


def refusals(**block):
    """What is wrong with these blocks."""
    with pytest.raises(ValidationError) as caught:
        upstream(**block)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


class UpstreamTests:
    """Blocks, and what they are when they are left out."""

    def test_default(self):
        """A WebSocket that pushes unasked, kept alive by pings."""
        found = upstream()
        assert (found.transport, found.login, found.subscribe, found.topics, found.dial) == (
            "websocket",
            (),
            (),
            None,
            None,
        )
        assert found.heartbeat == Heartbeat()

    def test_heartbeat_off(self):
        """For feeds that forbid pings."""
        assert upstream(heartbeat=OFF).heartbeat is None

    def test_variants(self):
        """One block or several."""
        assert [one.send for one in upstream(subscribe={"send": "a"}).subscribe] == ["a"]
        assert [one.send for one in upstream(subscribe=[{"send": "a"}, {"send": "b"}]).subscribe] == ["a", "b"]

    def test_payload(self):
        """The first path that exists."""
        assert upstream(payload=["data", 0]).payload == ("data", "0")


class FeedNamesTests:
    """The `topics` table."""

    def test_list(self):
        """Names without values."""
        found = upstream(topics=["a", "b"]).topics
        assert found is not None and [(name, row.as_, row.values) for name, row in found.items()] == [
            ("a", None, {}),
            ("b", None, {}),
        ]

    def test_table(self):
        """`as` is ours, the rest are values."""
        found = upstream(topics={"a": {"as": "b", "query": "$x", "values": 1}, "c": {}}).topics
        assert found is not None
        assert (found["a"].as_, found["a"].values) == ("b", {"query": "$x", "values": 1})

    @pytest.mark.parametrize(
        ("topics", "said"),
        [
            ([1], [(("topics",), "a feed name is text")]),
            ([""], [(("topics",), "a feed name is text")]),
            (["a", "a"], [(("topics",), "a feed name stands twice in the list")]),
            (None, [(("topics",), "nothing stands here")]),
        ],
    )
    def test_bad(self, topics, said):
        """What is wrong is said."""
        assert refusals(topics=topics) == said

    def test_bad_row(self):
        """A row is a table."""
        assert refusals(topics={"a": 5})[0][0] == ("topics", "a")
        assert refusals(topics=5)[0][0] == ("topics",)


class StreamTests:
    """`transport: sse`."""

    def test_no_pings(self):
        """A heartbeat is there on a WebSocket alone; one that is written stays, to be refused in its place."""
        assert upstream(transport="sse").heartbeat is None
        assert upstream().heartbeat is not None
        assert upstream(transport="sse", heartbeat={"every": "5s"}).heartbeat is not None
