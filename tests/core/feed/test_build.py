"""From a block to a dialect: the whole of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.build import build_dialect
from relayd.core.feed.errors import DialectError
from tests.support.feeds import NAMES, read_upstream
from tests.support.talk import PLAIN, dialect


class BuildTests:
    """Blocks."""

    def test_least(self) -> None:
        """A feed that pushes unasked: dialled at start."""
        spoken = build_dialect({"connect": {"url": "wss://h"}})
        assert spoken.unasked and spoken.dial_at_start and spoken.settle_s == 0.0 and spoken.extractor is not None
        assert spoken.heartbeat is not None and spoken.heartbeat.ping

    def test_dial(self) -> None:
        """As the block says, else by whether it can be asked."""
        assert not dialect().dial_at_start and dialect(dial="start").dial_at_start
        assert not dialect(subscribe=None, dial="demand").dial_at_start

    def test_cursor_dedupe_payload(self) -> None:
        """Paths."""
        spoken = dialect(cursor={"at": "t", "rewind": 5}, dedupe="id", payload=["d", "e"])
        assert spoken.cursor is not None and spoken.cursor.rewind == 5.0
        assert [path.text for path in (*spoken.dedupe, *spoken.payload)] == ["id", "d", "e"]
        assert dialect(cursor={"at": "t"}).cursor is not None

    def test_roots(self) -> None:
        """`outer` where frames are split, `sse` where they are events; elsewhere plain keys."""
        split = dialect(decode={"split": "data"}, topic={"at": {"channel": "outer.ch", "symbol": "sse.x"}})
        assert [path.root for paths in split.fields.at.values() for path in paths] == ["outer", ""]
        assert dialect(transport="sse", topic={"at": "sse.event"}, subscribe=None).fields.name_at[0].root == "sse"

    def test_settling(self) -> None:
        """The longest of the variants."""
        variants = [{"for": {"channel": "a"}, "send": "$symbol", "settle": "5s"}, {"send": "$symbol"}]
        assert dialect(subscribe=variants).settle_s == 5.0

    def test_all_that_is_wrong_is_told(self) -> None:
        """Each with its place; what does not fit together only when the parts are right."""
        with pytest.raises(DialectError) as caught:
            dialect(
                cursor={"at": "a..b"},
                dedupe="",
                payload=[],
                topic={"at": "x..y", "unless": {}},
                heartbeat={"every": "x"},
            )
        places = [place for place, _ in caught.value.problems]
        assert places == [("topic", "at"), ("topic", "unless"), ("cursor",), ("dedupe",), ("payload",), ("heartbeat",)]

    @pytest.mark.parametrize("block", [{"topic": 5}, {"subscribe": [5]}, {"decode": "x"}, {"connect": ["x"]}])
    def test_no_tables(self, block: Any) -> None:
        """They are refused as a whole."""
        with pytest.raises(DialectError):
            build_dialect({**PLAIN, **block})

    @pytest.mark.parametrize("name", NAMES)
    def test_the_written_out_feeds(self, name: str) -> None:
        """All have a compiled way, but the one whose topic stands beside its messages."""
        assert (build_dialect(read_upstream(name)).extractor is None) is (name == "pocketbase")

    @given(
        st.sampled_from(NAMES),
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        "topic",
                        "subscribe",
                        "control",
                        "connect",
                        "login",
                        "heartbeat",
                        "sequence",
                        "snapshot",
                        "limits",
                        "reconnect",
                        "silence",
                        "decode",
                        "payload",
                        "cursor",
                        "topics",
                    ]
                ),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(
                            st.sampled_from(["at", "send", "when", "for", "url", "name", "every", "http"]), inner
                        )
                    ),
                ),
            ),
            min_size=1,
            max_size=2,
        ),
    )
    def test_junk_is_a_dialect_error_or_a_dialect(self, name: str, changes: list[tuple[str, Any]]) -> None:
        """Nothing else: whatever stands in a block."""
        try:
            build_dialect({**read_upstream(name), **dict(changes)})
        except DialectError as error:
            assert error.problems
