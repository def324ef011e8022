"""Variants: what is in a message, and how many there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Refused
from relayd.core.feed.outcome import Frame, HttpRequest
from relayd.core.feed.path import MISSING
from relayd.core.feed.subscription import Variant, alike, batches, check_joiner, choose, size_of, write
from tests.support.talk import dialect


def variant(**block: Any) -> Variant:
    """One `subscribe` variant of an upstream with the fields `channel` and `symbol`."""
    return dialect(subscribe=block).subscribe[0]


ROWS = [{"channel": "t", "symbol": "A"}, {"channel": "t", "symbol": "B"}]


def written(made: Variant, rows: list[dict[str, str]], **values: Any) -> Any:
    """The message, as a value."""
    sending = write(made, values, rows).sending
    assert isinstance(sending, Frame)
    return json.loads(sending.payload)


class NamesTests:
    """What asking uses."""

    def test_message_members_and_what_is_computed(self) -> None:
        """Each for its purpose."""
        made = variant(
            set={"ts": "$now", "sig": {"hmac": "sha256", "key": "${env.K}", "text": "$ts"}},
            each="$symbol",
            send={"op": "$verb", "ch": "$channel", "s": "$topics", "sig": "$sig"},
        )
        assert made.message_names == {"verb", "channel", "topics", "now", "env.K"}
        assert made.names == {"verb", "channel", "now", "env.K", "symbol"}
        assert made.is_many and made.is_asked and "symbol" not in made.alike

    def test_one_by_one(self) -> None:
        """Without `$topics` members do not matter."""
        made = variant(each="$symbol", send={"ch": "$channel"}, bind="s$id")
        assert not made.is_many and made.names == {"channel", "id"}

    def test_http_and_url(self) -> None:
        """Requests use what stands in their URL, too."""
        assert variant(each="$symbol", http={"url": "http://h/$channel", "json": "$topics"}).names == {
            "channel",
            "symbol",
        }
        in_url = dialect(
            connect={"url": "wss://h/$topics", "headers": {"X": "${env.X}"}},
            topic={"at": "ch"},
            subscribe={"in": "url"},
        ).subscribe[0]
        assert in_url.names == {"topic", "env.X"} and not in_url.is_asked


class WriteTests:
    """One message."""

    def test_lists(self) -> None:
        """`each` makes the members; they may be tables."""
        made = variant(each={"s": "$symbol"}, send={"op": "$verb", "args": "$topics"})
        assert written(made, ROWS, verb="sub") == {"op": "sub", "args": [{"s": "A"}, {"s": "B"}]}
        assert written(made, [], verb="sub") == {"op": "sub", "args": []}

    def test_joined(self) -> None:
        """One text; a value that holds the joiner would be two."""
        made = variant(each="$symbol", join=",", send={"t": "x:$topics"})
        assert written(made, ROWS) == {"t": "x:A,B"}
        with pytest.raises(Refused, match="','"):
            written(made, [{"symbol": "A,B"}])
        check_joiner(variant(send="x"), ["a,b"])

    def test_what_is_computed(self) -> None:
        """Once for the message."""
        made = variant(set={"all": "$topics", "n": "${symbol}!"}, each="$symbol", send={"all": "$all", "n": "$n"})
        assert written(made, ROWS) == {"all": ["A", "B"], "n": "A!"}

    def test_ids(self) -> None:
        """Each text that holds `$id` may be named in an answer; the chosen id stands for the subscription."""
        made = variant(send={"id": "s$id", "n": "$id", "$id": 1, "x": "y"}, bind="s$id")
        message = write(made, {"id": 7}, ROWS[:1])
        assert message.ids == {"s7", "7"} and message.bound == "s7"
        assert write(variant(send="x"), {"id": 7}, []).bound is MISSING

    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ('{"id":"$id"}', {"7"}),
            ("sub s$id t", {"s7"}),
            ("$id", {"7"}),
            ("$channel${id}x $id", {"7x", "7"}),
            ("$id$channel", {"7"}),
            ("x", set()),
        ],
    )
    def test_ids_in_bare_texts(self, text: str, ids: set[str]) -> None:
        """The word around it."""
        assert write(variant(send=text), {"id": 7}, ROWS[:1]).ids == ids
        assert write(variant(send=text, bind="b$id"), {"id": 7}, ROWS[:1]).ids == {*ids, "b7"}

    def test_http(self) -> None:
        """The URL takes the list, the body what `join` makes of it."""
        made = variant(
            each="$symbol",
            join=",",
            http={
                "method": "POST",
                "url": "http://h/$topics",
                "json": {"t": "$topics", "id": "$id"},
                "query": {"q": "$verb"},
            },
        )
        message = write(made, {"verb": "on", "id": 3}, [{"symbol": "A/1"}, {"symbol": "B"}], 9)
        request = message.sending
        assert isinstance(request, HttpRequest) and request.url == "http://h/A%2F1,B?q=on" and request.number == 9
        assert json.loads(request.body) == {"t": "A/1,B", "id": 3} and message.ids == {"3"}
        form = variant(send=None, http={"url": "http://h", "form": {"i": "r$id"}})
        assert write(form, {"id": 1}, ROWS[:1]).ids == {"r1"}
        assert size_of(request) == len(request.body) + len(request.url) and size_of(Frame(b"abc")) == 3


class GroupingTests:
    """What goes together."""

    def test_alike_outside_of_topics(self) -> None:
        """What the message says besides them."""
        made = variant(each="$symbol", send={"ch": "$channel", "s": "$topics"})
        assert alike(made, ROWS[0]) == alike(made, ROWS[1]) == ("t",)

    def test_choose(self) -> None:
        """The first that applies."""
        variants = dialect(subscribe=[{"for": {"channel": "book"}, "send": "$symbol"}, {"send": "$symbol"}]).subscribe
        assert choose(variants, {"channel": "book"}) == 0 and choose(variants, {"channel": "x"}) == 1
        assert choose(variants[:1], {"channel": "x"}) is None


class BatchTests:
    """How many messages."""

    @given(st.lists(st.integers(1, 40), max_size=60), st.none() | st.integers(1, 20), st.none() | st.integers(1, 200))
    def test_every_member_is_in_exactly_one_message(
        self, sizes: list[int], batch: int | None, most: int | None
    ) -> None:
        """None is over a bound unless it holds a single member, and none could take one more."""
        made = Variant(batch=batch, bytes=most)

        def length(start: int, end: int) -> int:
            return 10 + sum(sizes[start:end])

        cuts = list(batches(made, len(sizes), length))
        assert [at for start, end in cuts for at in range(start, end)] == list(range(len(sizes)))
        for start, end in cuts:
            assert batch is None or end - start <= batch
            if most is not None and end - start > 1:
                assert length(start, end) <= most
            if end < len(sizes):
                full = batch is not None and end - start == batch
                assert full or (most is not None and length(start, end + 1) > most)
