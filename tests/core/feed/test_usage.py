"""Whether a dialect's parts fit together."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.errors import DialectError
from relayd.core.feed.usage import is_secret, saved_names
from tests.support.talk import LEARNT, PLAIN, dialect

HTTP: Any = {"url": "http://h/$x"}


def problems(base: Any = None, **changed: Any) -> list[tuple[Any, str]]:
    """What does not fit."""
    with pytest.raises(DialectError) as caught:
        dialect(base, **changed)
    return list(caught.value.problems)


class SourceTests:
    """Every placeholder has a source."""

    @pytest.mark.parametrize(
        ("changed", "place"),
        [
            ({"connect": {"url": "wss://$h"}}, ("connect",)),
            ({"connect": {"url": "wss://h", "headers": {"X": "$topics"}}}, ("connect",)),
            ({"connect": {"url": "wss://h", "before": [{"http": HTTP}]}}, ("connect", "before", 0)),
            ({"connect": {"url": "wss://h", "refresh": {"every": "5s", "http": HTTP}}}, ("connect", "refresh")),
            ({"login": [{"send": "$x"}]}, ("login", 0)),
            ({"login": [{"send": "$x"}, {"expect": "y", "save": {"x": "a"}}]}, ("login", 0)),
            ({"login": [{"set": {"a": "$x"}, "send": "$a"}]}, ("login", 0)),
            ({"subscribe": {"send": "$x$symbol"}}, ("subscribe", 0)),
            ({"subscribe": {"send": "$topic"}}, ("subscribe", 0)),
            ({"subscribe": {"send": "$symbol", "for": {"x": "y"}}}, ("subscribe", 0, "for")),
            ({"unsubscribe": {"send": "$x"}}, ("unsubscribe", 0)),
            ({"subscribe": {"send": "$channel"}, "unsubscribe": {"send": "$symbol"}}, ("unsubscribe", 0)),
            ({"control": [{"when": "x", "send": "$x"}]}, ("control", 0, "send")),
            ({"heartbeat": {"send": "$x"}}, ("heartbeat", "send")),
            ({"heartbeat": {"every": "${x}ms"}}, ("heartbeat", "every")),
            ({"heartbeat": {"also": {"channel": "$x"}}}, ("heartbeat", "also", "channel")),
            ({"heartbeat": {"also": {"x": "y"}}}, ("heartbeat", "also")),
            ({"topic": {"at": {"id": "x", "channel": "y", "symbol": "z"}}}, ("topic",)),
            ({"topic": {"at": "x", "name": "$topic"}, "subscribe": None}, ("topic",)),
        ],
    )
    def test_without_one(self, changed: Any, place: Any) -> None:
        """Told with its place."""
        assert place in [where for where, _ in problems(**changed)]

    def test_what_is_there_is_told(self) -> None:
        """So that a slip of the pen is seen."""
        ((_, text),) = problems(login=[{"send": "$nwo"}])
        assert "$nwo has no value here" in text and "$now" in text
        ((_, text),) = problems(heartbeat={"every": "${x}ms"})
        assert text.endswith("there are none")

    def test_with_one(self) -> None:
        """Saved before, saved at login, computed, secret, or known by itself."""
        dialect(
            connect={"url": "$host",
                     "before": [{"http": {"url": "http://h/$now"}, "save": {"host": "h"}},
                                {"http": {"url": "$host"}, "save": {"t": "t"}}],
                     "query": {"c": "$cursor", "u": "$uuid", "k": "${env.K:-x}"},
                     "refresh": {"every": "5s", "http": {"url": "http://h/$t", "form": {"s": "$sid"}},
                                 "save": {"r": "r"}}},
            login=[{"set": {"ts": "$now_ms"}, "send": "$ts$t", "expect": "ok", "save": {"sid": "s"}},
                   {"send": "$sid$ts$id"}],
            subscribe={"send": {"a": "$symbol$channel$sid$r$ts$verb$id", "c": "$cursor"}},
            unsubscribe={"send": "$bound$symbol"},
            control=[{"when": "x", "send": "${msg.a}$sid$cursor"}],
            heartbeat={"send": "$id$sid$cursor", "every": "${sid}ms"},
        )  # fmt: skip

    def test_bound_fields_are_what_asking_uses(self) -> None:
        """By definition."""
        spoken = dialect(LEARNT, subscribe={"send": {"s": "$anything", "b": "$topic"}, "for": {"kind": "x"}})
        assert spoken.identities == (("name", "anything", "kind"),) and spoken.field_names == (
            "name",
            "anything",
            "kind",
        )

    def test_topics_in_the_url(self) -> None:
        """They must stand there."""
        base: Any = {"topic": {"at": "ch"}, "subscribe": {"in": "url"}, "control": None}
        assert dialect(**base, connect={"url": "wss://h/$topics"}).identities == (("name",),)
        assert dialect(**base, connect={"url": "wss://h/$name"}).identities == (("name",),)
        assert problems(**base, connect={"url": "wss://h"})[0][0] == ("connect", "url")


class IdentityTests:
    """What makes a subscription the same."""

    def test_fields_of_all_variants(self) -> None:
        """What the message uses, and what chooses the variant."""
        spoken = dialect(
            topic={"at": {"channel": "c", "symbol": "s", "more": "m"}},
            subscribe=[{"for": {"channel": "book"}, "send": "$symbol"}, {"send": "all"}],
        )
        assert spoken.identities == (("symbol", "channel"), ("channel",)) and spoken.field_names == (
            "channel",
            "symbol",
            "more",
        )

    def test_a_feed_name_counts_as_its_fields(self) -> None:
        """Also where only a value of the `topics` table is used."""
        named = {"topic": {"at": "s", "name": "$a@$b"}}
        assert dialect(**named, subscribe={"send": {"t": "$topics"}}).identities == (("a", "b"),)
        assert dialect(**named, subscribe={"send": "$a"}).identities == (("a",),)
        assert dialect(**named, topics={"x@y": {"q": 1}}, subscribe={"send": "$q"}).identities == (("a", "b"),)

    def test_a_field_that_is_called_topic(self) -> None:
        """Where there is no feed name it is a field like any other."""
        spoken = dialect(
            topic={"at": {"topic": "t", "symbol": "s"}}, subscribe={"send": {"t": "$topic", "s": "$symbol"}}
        )
        assert spoken.identities == (("symbol", "topic"),)


class SecretTests:
    """What must be there."""

    def test_names(self) -> None:
        """Dotted, and of the known kinds."""
        assert is_secret("env.X") and is_secret("file./a") and is_secret("browser.token")
        assert not is_secret("env") and not is_secret("symbol")

    def test_all_of_them(self) -> None:
        """From everywhere, each once, those with a default apart."""
        spoken = dialect(
            connect={"url": "wss://h/${env.A}", "query": {"q": "${env.B}"}, "headers": {"X": "${env.C:-x}"},
                     "before": [{"http": {"url": "http://${env.D}", "form": {"f": "${env.E}"}}}],
                     "refresh": {"every": "5s", "http": {"url": "http://h", "json": "${env.F}"}}},
            login=[{"set": {"s": {"hmac": "sha1", "key": "${env.G}", "text": "${file./h}"}}, "send": "$s${env.I}"}],
            subscribe={"set": {"x": "${env.J}"}, "http": {"url": "http://h/$symbol", "headers": {"K": "${env.K}"}}},
            unsubscribe={"send": "${env.L}$symbol"},
            snapshot=[{"http": {"url": "http://${env.M}"}}, {"send": "${env.A}"}],
            control=[{"when": "x", "send": "${env.N}"}],
            heartbeat={"send": "${env.O}"},
        )  # fmt: skip
        assert set(spoken.secrets) == {f"env.{name}" for name in "ABDEFGIJKLMNO"} | {"file./h"}
        assert len(spoken.secrets) == len(set(spoken.secrets))
        assert dialect(heartbeat="off").secrets == () and "connect" in PLAIN

    def test_saved(self) -> None:
        """By steps, logins and refreshes."""
        assert saved_names(dialect()) == frozenset()
