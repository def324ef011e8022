"""What somebody may do with a topic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.access import (
    Access,
    Answer,
    Anyone,
    Claim,
    Literal,
    OfField,
    Rule,
    ask,
    may_any,
    parse_value,
    texts_of,
)
from relayd.core.auth.verdict import Identity

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc."), inner, max_size=3),
)
CLAIMS = st.dictionaries(st.sampled_from(["sub", "role", "a", "a.b"]), JSON, max_size=4)
VALUE = st.sampled_from([Literal("x"), Literal("5"), OfField("name"), OfField("none")])
RULES = st.sampled_from(list(Anyone)) | st.lists(
    st.builds(Claim, st.sampled_from(["sub", "role", "a", "a.b"]), st.lists(VALUE, max_size=2).map(tuple)), max_size=2
).map(tuple)


def rule(**claims: str | tuple[str, ...]) -> Rule:
    """As in the file."""
    return tuple(
        Claim(name, tuple(map(parse_value, (values,) if isinstance(values, str) else values)))
        for name, values in claims.items()
    )


def asked(guard: Rule, claims: dict[str, Any] | None, **fields: str) -> Answer:
    """The answer for somebody with these claims."""
    return ask(guard, None if claims is None else Identity("s", claims), fields)


class AskTests:
    """Rules and who they let in."""

    def test_defaults(self) -> None:
        """Everybody listens, nobody publishes."""
        assert Access() == Access(Anyone.PUBLIC, Anyone.NOBODY)

    def test_anyone(self) -> None:
        """Neither looks at who asks."""
        for who in (None, {"sub": "a"}):
            assert asked(Anyone.PUBLIC, who) is Answer.YES
            assert asked(Anyone.NOBODY, who) is Answer.FORBIDDEN

    def test_stranger(self) -> None:
        """A token may help."""
        assert asked(rule(role="x"), None) is Answer.UNAUTHORIZED

    @pytest.mark.parametrize(
        ("guard", "claims", "may"),
        [
            (rule(role="x"), {"role": "x"}, True),
            (rule(role="x"), {"role": "y"}, False),
            (rule(role="x"), {}, False),
            (rule(role=("x", "y")), {"role": "y"}, True),
            (rule(role="x"), {"role": ["y", "x"]}, True),
            (rule(role="x"), {"role": []}, False),
            (rule(role="x"), {"role": {"x": 1}}, False),
            (rule(role="x", level="5"), {"role": "x", "level": 5}, True),
            (rule(role="x", level="5"), {"role": "x"}, False),
            (rule(admin="true"), {"admin": True}, True),
            (rule(admin="true"), {"admin": 1}, False),
            (rule(level="1"), {"level": 1.0}, False),
            (rule(level="1"), {"level": True}, False),
            (rule(sub="$name"), {"sub": "alice"}, True),
            (rule(sub="$name"), {"sub": "bob"}, False),
            (rule(sub="$name"), {"sub": None}, False),
            (rule(sub="$other"), {"sub": "alice"}, False),
            (rule(sub="$other"), {"sub": None}, False),
            (rule(sub="$$name"), {"sub": "$name"}, True),
            (rule(sub="$$name"), {"sub": "alice"}, False),
            (rule(sub=("$name", "root")), {"sub": "root"}, True),
            (rule(groups="$name"), {"groups": ["bob", "alice"]}, True),
            ((Claim("a.b", (Literal("x"),)),), {"a": {"b": ["x"]}}, True),
            ((Claim("a.b", (Literal("x"),)),), {"a.b": "x"}, True),
            ((Claim("a.b", (Literal("x"),)),), {"a.b": "y", "a": {"b": "x"}}, False),
            ((Claim("a.b", (Literal("x"),)),), {"a": ["b"]}, False),
            ((Claim("role", ()),), {"role": "x"}, False),
            ((), {"sub": "x"}, False),
        ],
    )
    def test_claims(self, guard: Rule, claims: dict[str, Any], may: bool) -> None:
        """All claims must hold, one value of each."""
        assert asked(guard, claims, name="alice") is (Answer.YES if may else Answer.FORBIDDEN)

    @given(RULES, st.none() | CLAIMS, st.dictionaries(st.just("name"), st.text(max_size=3)))
    def test_total(self, guard: Rule, claims: dict[str, Any] | None, fields: dict[str, str]) -> None:
        """Never raises; claims alone never open what is not public to a stranger, and none opens what is for nobody."""
        answer = asked(guard, claims, **fields)
        if answer is Answer.YES:
            assert guard is Anyone.PUBLIC or (claims is not None and guard is not Anyone.NOBODY)

    @given(RULES, st.none() | CLAIMS, st.dictionaries(st.just("name"), st.text(max_size=3)))
    def test_where_no_topic_may(self, guard: Rule, claims: dict[str, Any] | None, fields: dict[str, str]) -> None:
        """What is said of all topics holds for each."""
        identity = None if claims is None else Identity("x", claims)
        if not may_any(guard, identity):
            assert ask(guard, identity, fields) is not Answer.YES

    def test_where_a_topic_may(self) -> None:
        """A claim that the topic's own field decides may hold; one that must be another does not."""
        alice = Identity("alice", {"sub": "alice", "role": "staff"})
        assert may_any(Anyone.PUBLIC, None)
        assert may_any(rule(sub="$name"), alice)
        assert may_any(rule(sub="$name", role="staff"), alice)
        assert not may_any(rule(sub="$name", role="root"), alice)
        assert not may_any(rule(sub="$name"), None)
        assert not may_any((), alice)

    @given(CLAIMS, CLAIMS)
    def test_more_claims_close_nothing_else(self, claims: dict[str, Any], others: dict[str, Any]) -> None:
        """What a rule does not name does not decide."""
        guard = rule(role="x")
        extra = {name: value for name, value in others.items() if name != "role"}
        alone = {name: value for name, value in claims.items() if name == "role"}
        assert asked(guard, alone) is asked(guard, extra | alone)


class TextsTests:
    """Claims as text."""

    def test_numbers(self) -> None:
        """Whole ones within 64 bits, as digits: turning longer ones into text costs."""
        assert texts_of({"n": [5, -1, 2**63 - 1, 2**63, 10**5000]}, "n") == {"5", "-1", str(2**63 - 1)}
