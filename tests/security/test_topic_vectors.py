"""Topics, templates and patterns as somebody writes them who wants what is not his: each with the one right answer.

Two routes stand behind: `user/$name/$box` for whose `sub` is `name`, and `live/$symbol`, which is public but for what `allow`
does not list.
"""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

import pytest

from relayd.core.auth.access import Access, Claim, OfField
from relayd.core.auth.verdict import Identity
from relayd.core.publication import Encoding
from relayd.core.reading import Asked, Reading
from relayd.core.routes import AllowRegex, AllowValues
from relayd.core.subscriber import Subscriber
from relayd.core.topic import MAX_SEGMENTS, MAX_TOPIC_BYTES, TopicError, TopicTemplate, escape, unescape
from tests.support.hub_rig import FakeSink, Rig, route

MINE = route("user/$name/$box", access=Access((Claim("sub", (OfField("name"),)),)))
LIVE = route("live/$symbol", allow={"symbol": AllowValues(("BTC-USD", "BTC/USD", "..", "a~b"))})
LINE = route("line/$line", allow={"line": AllowRegex(re.compile("L[0-9]{1,3}"))})


def subscribe(name: str, subject: str | None = "alice", existing: tuple[str, ...] = ()) -> tuple[Asked, Rig]:
    """What a subscribe by somebody comes to."""
    rig = Rig(MINE, LIVE, LINE)
    for topic in existing:
        rig.hub.topic(topic)
    reading = Reading(rig.hub, Subscriber(FakeSink(), Encoding.V1), lambda asked: None)
    reading.identity = None if subject is None else Identity(subject, {"sub": subject})
    return reading.subscribe([name], None, {}), rig


GIVEN = {
    "own": "user/alice/in", "own, another box": "user/alice/a.b-c_d@e:f", "listed": "live/BTC-USD", "a slash within a value": "live/BTC~2FUSD",
    "two dots as a value": "live/~2E~2E", "a tilde as a value": "live/a~7Eb", "regex": "line/L12", "an escaped blank in a box": "user/alice/a~20b",
    "a box of another's name": "user/alice/bob", "unicode box": "user/alice/~E2~98~83",
}  # fmt: skip
REFUSED: dict[str, dict[str, str]] = {
    "bad_request": {
        "empty": "", "a slash before": "/live/BTC-USD", "a slash behind": "live/BTC-USD/", "two slashes": "live//BTC-USD", "a dot": "live/./BTC-USD",
        "two dots": "user/alice/../bob/in", "two dots as a segment": "live/..", "two dots at the end": "user/alice/..", "a blank": "live/BTC USD", "a tab": "live/BTC\tUSD",
        "CR LF": "live/BTC\r\nX: y", "NUL": "live/BTC\0", "DEL": "live/BTC\x7f", "escape": "live/\x1b[31m", "percent": "live/BTC%2FUSD", "percent twice": "live/BTC%252FUSD",
        "a question mark": "live/BTC?x=1", "a hash": "live/BTC#x", "a backslash": "live\\BTC", "a plus": "live/BTC+USD", "a dollar sign": "user/$name/in", "braces": "user/{name}/in",
        "lower-case hex": "live/BTC~2fUSD", "one digit of hex": "live/BTC~2", "no hex": "live/BTC~ZZ", "an escape that is not needed": "live/~42TC-USD", "an escaped letter in a name": "user/~61lice/in",
        "overlong UTF-8": "user/~C0~AFalice/in", "half a character": "user/~E2~98/in", "a surrogate": "user/~ED~A0~80/in", "a byte that is no UTF-8": "user/~FF/in",
        "not ASCII": "user/ålice/in", "a look-alike": "user/аlice/in", "full width": "user/ａlice/in", "a zero-width joiner": "user/ali‍ce/in", "a soft hyphen": "user/ali\u00adce/in",
        "right to left": "user/\u202ealice/in", "an emoji": "live/💥", "too long": "live/" + "x" * MAX_TOPIC_BYTES, "too deep": "/".join(["a"] * (MAX_SEGMENTS + 1)),
        "a star in a segment": "live/BTC*", "two stars in the middle": "user/**/in", "two stars in a segment": "user/a**", "a lone surrogate": "user/\ud800/in", "a quote": 'live/"', "a comma": "live/a,b",
    },
    "unknown_topic": {
        "no route": "admin/x", "one segment": "user", "one too few": "user/alice", "one too many": "user/alice/in/x", "another case": "User/alice/in", "the prefix alone": "live",
        "a method of a table": "__proto__/x", "deeper than any": "live/BTC-USD/x",
    },
    "forbidden": {
        "another's": "user/bob/in", "another case of me": "user/ALICE/in", "longer than me": "user/alice2/in", "shorter than me": "user/alic/in", "me and a blank": "user/alice~20/in", "me and NUL": "user/alice~00/in",
        "me, decomposed": "user/alice~CC~81/in", "not listed": "live/ETH-USD", "part of a listed value": "live/BTC", "listed in another case": "live/btc-usd", "regex: more behind": "line/L12x", "regex: a line break": "line/L1~0A",
        "regex: before": "line/xL1", "regex: 65 characters": "line/" + "L" + "1" * 64, "two dots as a name": "user/~2E~2E/in",
    },
}  # fmt: skip
VECTORS = [(code, name, topic) for code, vectors in REFUSED.items() for name, topic in vectors.items()]
TEMPLATES = ["", "/", "a//b", "$", "a/$", "a$b", "a/$B", "a/$1x", "a/x$y", "a/${x}", "$x/$x", "a/*", "**", "a b", "a/..", "a/~2f", "/".join(["$a"] * 17)]  # fmt: skip
VALUES = ["", ".", "..", "/", "~", "a/b", "a~2Fb", "\0", "\r\n", "ä", "☃", "💥", "%2F", "$x", "*", "**", " ", "\ud800", "a" * 100, "\u202e"]  # fmt: skip


class TopicVectorTests:
    """What a browser may ask for."""

    def test_count(self) -> None:
        """As many as the plan asks for."""
        assert len(VECTORS) + len(GIVEN) + len(TEMPLATES) >= 60

    @pytest.mark.parametrize("topic", GIVEN.values(), ids=GIVEN)
    def test_given(self, topic: str) -> None:
        """What is right is had under the name that was asked for."""
        asked, _ = subscribe(topic)
        assert [one.topic.name for one in asked.joined] == [topic]

    @pytest.mark.parametrize(
        ("code", "topic"), [(code, topic) for code, _, topic in VECTORS], ids=[name for _, name, _ in VECTORS]
    )
    def test_refused(self, code: str, topic: str) -> None:
        """With the one code, and without a trace in the hub or a demand upstream."""
        asked, rig = subscribe(topic)
        assert ([one.code for one in asked.refused], asked.joined) == ([code], [])
        assert not rig.hub.topics and not rig.demand.wanted_topics

    @pytest.mark.parametrize("topic", [topic for name, topic in GIVEN.items() if topic.startswith("user/")])
    def test_stranger(self, topic: str) -> None:
        """Who is nobody has nobody's."""
        asked, rig = subscribe(topic, None)
        assert [one.code for one in asked.refused] == ["unauthorized"] and not rig.hub.topics

    @pytest.mark.parametrize("pattern", ["**", "*/*/*", "user/**", "user/*/in", "user/bob/*", "user/bob/**"])
    @pytest.mark.parametrize("subject", ["alice", None, "", "bo", "*", "bob/in", "$name"])
    def test_patterns(self, pattern: str, subject: str | None) -> None:
        """A pattern means only what its owner may have, and does not say what else there is."""
        asked, _ = subscribe(pattern, subject, existing=("user/bob/in", "user/alice/in"))
        seen = {one.topic.name for one in asked.joined if one.topic.name.startswith("user/")}
        assert seen <= {f"user/{subject}/in"}
        assert asked.refused == []

    @pytest.mark.parametrize("template", TEMPLATES)
    def test_templates(self, template: str) -> None:
        """A template is literals and whole fields."""
        with pytest.raises(TopicError):
            TopicTemplate.parse(template)

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_values(self, value: str) -> None:
        """Any value an upstream sends is one segment and comes back as itself, or is refused."""
        rendered: Any = None
        try:
            rendered = escape(value)
        except TopicError:
            assert not value
            return
        assert "/" not in rendered and rendered.isascii() and rendered.isprintable() and rendered.strip(".")
        if value != "\ud800":
            assert unescape(rendered) == value
