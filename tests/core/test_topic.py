"""Topics, templates, patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.topic import (
    MAX_SEGMENTS,
    MAX_TOPIC_BYTES,
    TopicError,
    TopicPattern,
    TopicTemplate,
    check_topic,
    escape,
    is_pattern,
    unescape,
)

#: Segments of patterns, templates and topics from a small alphabet, so that they meet.
PATTERNS = st.tuples(st.lists(st.sampled_from(["a", "b", "*", "~2F"]), min_size=1, max_size=3), st.booleans()).map(
    lambda parts: "/".join([*parts[0], "**"] if parts[1] else parts[0])
)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


class EscapeTests:
    """One value, one segment."""

    @pytest.mark.parametrize(
        ("value", "segment"),
        [
            ("BTC-USD", "BTC-USD"),
            ("BTC/USD", "BTC~2FUSD"),
            ("a~b", "a~7Eb"),
            (".", "~2E"),
            ("..", "~2E~2E"),
            ("a..b", "a..b"),
            ("Grüße", "Gr~C3~BC~C3~9Fe"),
            ("a b", "a~20b"),
            ("\x00", "~00"),
            ("*", "~2A"),
            ("$x", "~24x"),
        ],
    )
    def test_table(self, value: str, segment: str) -> None:
        """The spellings of config.md."""
        assert escape(value) == segment
        assert unescape(segment) == value

    @given(VALUES)
    def test_round_trip(self, value: str) -> None:
        """Every value comes back, and its segment is a topic."""
        assert unescape(escape(value)) == value
        if len(escape(value)) <= MAX_TOPIC_BYTES:
            assert check_topic(escape(value)) == (escape(value),)

    def test_empty(self) -> None:
        """An empty value has no segment."""
        with pytest.raises(TopicError, match="empty value"):
            escape("")

    @pytest.mark.parametrize("segment", ["a b", "~2f", "~G0", "~", "a*", "é", "a/b", ""])
    def test_outside_the_grammar(self, segment: str) -> None:
        """A segment that no value escapes to is refused."""
        with pytest.raises(TopicError, match="segment holds"):
            unescape(segment)

    def test_not_utf8(self) -> None:
        """Escaped bytes are UTF-8."""
        with pytest.raises(TopicError, match="not UTF-8"):
            unescape("~FF")

    @pytest.mark.parametrize(("segment", "better"), [("~41", "A"), (".", "~2E"), ("..", "~2E~2E")])
    def test_one_spelling(self, segment: str, better: str) -> None:
        """A second spelling of the same value is refused, with the right one named."""
        with pytest.raises(TopicError, match=f"write this segment as {better}"):
            unescape(segment)


class CheckTopicTests:
    """The grammar of whole topics."""

    def test_good(self) -> None:
        """Segments come back."""
        assert check_topic("market/ticker/BTC-USD") == ("market", "ticker", "BTC-USD")

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("", "not empty"),
            ("/a", "empty segment"),
            ("a/", "empty segment"),
            ("a//b", "empty segment"),
            ("a" * (MAX_TOPIC_BYTES + 1), "at most 512"),
            ("/".join("a" * (MAX_SEGMENTS + 1)), "at most 16 segments"),
            ("a/b c", "segment holds"),
            ("a/..", "write this segment"),
        ],
    )
    def test_bad(self, name: str, why: str) -> None:
        """Each fault has its own words."""
        with pytest.raises(TopicError, match=why):
            check_topic(name)


class TemplateTests:
    """What a route writes."""

    def test_render_and_match(self) -> None:
        """The two are inverse."""
        template = TopicTemplate.parse("kraken/$channel/$symbol")
        assert template.fields == ("channel", "symbol")
        topic = template.render({"channel": "ticker", "symbol": "BTC/USD"})
        assert topic == "kraken/ticker/BTC~2FUSD"
        assert template.match(topic) == {"channel": "ticker", "symbol": "BTC/USD"}

    @given(VALUES, VALUES)
    def test_inverse(self, first: str, second: str) -> None:
        """For all values that fit."""
        template = TopicTemplate.parse("x/$a/y/$b")
        try:
            topic = template.render({"a": first, "b": second})
        except TopicError:
            assert len(escape(first)) + len(escape(second)) > MAX_TOPIC_BYTES - 10
            return
        assert template.match(topic) == {"a": first, "b": second}

    @pytest.mark.parametrize("topic", ["kraken/ticker", "other/ticker/x", "kraken/a/b/c", "kraken/a/~zz"])
    def test_no_match(self, topic: str) -> None:
        """Other lengths, other literals, bad segments."""
        assert TopicTemplate.parse("kraken/$channel/$symbol").match(topic) is None

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("a/x$b", "one whole segment"),
            ("a/$B", "one whole segment"),
            ("a/$b/$b", "stands twice"),
            ("a/b c", "segment holds"),
            ("", "not empty"),
        ],
    )
    def test_bad(self, text: str, why: str) -> None:
        """A template that cannot work is refused."""
        with pytest.raises(TopicError, match=why):
            TopicTemplate.parse(text)

    def test_too_long(self) -> None:
        """A value may make the topic too long."""
        with pytest.raises(TopicError, match="at most"):
            TopicTemplate.parse("a/$b").render({"b": "x" * MAX_TOPIC_BYTES})


class PatternTests:
    """What a browser may write."""

    @pytest.mark.parametrize(
        ("pattern", "topic", "expected"),
        [
            ("a/*/c", "a/b/c", True),
            ("a/*/c", "a/b/d", False),
            ("a/*/c", "a/b", False),
            ("a/*/c", "a/b/c/d", False),
            ("a/**", "a/b", True),
            ("a/**", "a/b/c", True),
            ("a/**", "a", False),
            ("a/**", "b/c", False),
            ("**", "a", True),
            ("*", "a", True),
            ("*", "a/b", False),
            ("*/x/**", "a/x/y/z", True),
            ("a/b", "a/b", True),
        ],
    )
    def test_matches(self, pattern: str, topic: str, expected: bool) -> None:
        """One segment, or all the rest."""
        assert TopicPattern.parse(pattern).matches(topic) is expected

    @given(
        PATTERNS,
        st.sampled_from(["$x", "a/$x", "$x/b", "$x/$y", "a/b", "$x/a/$y"]),
        st.fixed_dictionaries({"x": st.sampled_from(["a", "b", "c", "/"]), "y": st.sampled_from(["a", "b", "/"])}),
    )
    def test_by_template(self, text: str, of: str, fields: dict[str, str]) -> None:
        """What a template says of all its topics is what `matches` says of each."""
        pattern, template = TopicPattern.parse(text), TopicTemplate.parse(of)
        wanted = template.meant_by(pattern)
        meant = wanted is not None and all(fields[name] == value for name, value in wanted.items())
        assert meant is pattern.matches(template.render(fields))

    @pytest.mark.parametrize(
        ("text", "why"), [("**/a", "only at the end"), ("a/b*", "one whole segment"), ("a b", "holds")]
    )
    def test_bad(self, text: str, why: str) -> None:
        """A wildcard is a whole segment."""
        with pytest.raises(TopicError, match=why):
            TopicPattern.parse(text)

    def test_is_pattern(self) -> None:
        """A star tells."""
        assert is_pattern("a/*")
        assert not is_pattern("a/b")
