"""What answers mean for subscriptions."""

from __future__ import annotations

from typing import Any

from relayd.core.feed.answers import MAX_TEXT_CHARS, Answer, Answers, text_at, unique
from relayd.core.feed.build_parts import Reader
from relayd.core.feed.control import FailRule
from relayd.core.feed.errors import Problems
from relayd.core.feed.ledger import Ledger, Request, Subscription
from relayd.core.feed.path import Scope, parse_paths
from relayd.core.feed.subscription import SUBSCRIBE, UNSUBSCRIBE
from tests.support.talk import dialect

READER = Reader(Problems())
AT = {"channel": "ch", "symbol": "sym"}


class Table:
    """Three subscriptions, asked for by two messages: `1` for A and B, `2` for C."""

    def __init__(self) -> None:
        spoken = dialect()
        self.ledger = Ledger[str](spoken)
        self.answers = Answers[str](spoken, self.ledger)
        for topic in "ABC":
            self.ledger.join(topic, {"channel": "t", "symbol": topic})
        a, b, c = self.ledger.all()
        self.first = Request(SUBSCRIBE, [a, b], frozenset({"1"}))
        self.ledger.asked(self.first)
        self.ledger.asked(Request(SUBSCRIBE, [c], frozenset({"2"})))
        self.ledger.asked(Request[str](UNSUBSCRIBE, [], frozenset({"9"})))

    def ack(self, rule: dict[str, Any], doc: Any, request: Request[str] | None = None) -> tuple[str, str]:
        """The topics that are confirmed, and those that failed."""
        made = READER.ack(rule)
        assert made is not None
        return spelt(self.answers.ack(made, Scope(doc), request))

    def fail(self, rule: dict[str, Any], doc: Any) -> tuple[str, bool]:
        """The topics that failed, and whether the message names them."""
        made = FailRule(READER.path(rule.get("id")), READER.at(rule.get("at")))
        answer = self.answers.fail(made, Scope(doc))
        return spelt(answer)[1], answer.named


def names(subscriptions: list[Subscription[str]]) -> str:
    """Topics in a row."""
    return "".join(topic for one in subscriptions for topic in one.topics)


def spelt(answer: Answer[str]) -> tuple[str, str]:
    """Confirmed, failed."""
    return names(answer.confirmed), names(answer.failed)


class AckTests:
    """What is confirmed."""

    def test_by_id(self) -> None:
        """Compared as text; an unknown one confirms nothing, nor does the answer to an unsubscribe."""
        table = Table()
        assert table.ack({"id": "id"}, {"id": 1}) == table.ack({"id": "id"}, {"id": "1"}) == ("AB", "")
        assert table.ack({"id": "id"}, {"id": "7"}) == ("", "") and table.ack({"id": "id"}, {}) == ("", "")
        assert table.ack({"id": "id"}, {"id": 9}) == ("", "") and table.ledger.request_of("9") is None

    def test_by_fields(self) -> None:
        """All that agree."""
        table = Table()
        assert table.ack({"at": AT}, {"ch": "t", "sym": ["C", "A"]}) == ("CA", "")
        assert table.ack({"at": AT}, {"ch": "t"}) == ("ABC", "") and table.ack({"at": AT}, {}) == ("", "")

    def test_by_both(self) -> None:
        """Of the request those that agree; all of it where no fields are there."""
        table = Table()
        rule = {"id": "id", "at": AT}
        assert table.ack(rule, {"id": 1, "ch": "t", "sym": "B"}) == ("B", "")
        assert table.ack(rule, {"id": 1}) == ("AB", "") and table.ack(rule, {"id": 1, "ch": "t", "sym": "C"}) == (
            "",
            "",
        )
        assert table.ack(rule, {"ch": "t", "sym": "C"}) == ("C", "") and table.ack(rule, {"id": 5, "ch": "t"}) == (
            "",
            "",
        )

    def test_by_order(self) -> None:
        """An ack that names nothing answers the oldest request."""
        table = Table()
        assert table.ack({}, "ok") == ("AB", "")
        for one in table.ledger.all():
            table.ledger.confirm(one)
        assert table.ack({}, "ok") == ("", "")

    def test_a_state_list(self) -> None:
        """Without a known request what is not in it stays pending; with one it has failed."""
        table = Table()
        rows = {"l": [{"ch": "t", "sym": ["A", "C"]}, {"ch": "x", "sym": []}]}
        assert table.ack({"all": "l", "at": AT}, rows) == ("AC", "")
        assert table.ack({"all": "l", "at": AT, "id": "id"}, {**rows, "id": 1}) == ("AC", "B")
        assert table.ack({"all": "l", "at": AT}, rows, table.first) == ("AC", "B")
        assert table.ack({"all": "l", "at": AT, "id": "id"}, {**rows, "id": 9}) == ("AC", "")

    def test_lists_of_successes_and_failures(self) -> None:
        """Some of both; without lists all that was asked for."""
        table = Table()
        rule = {"some": "ok", "not": "no", "id": "id", "at": AT}
        a, b = {"ch": "t", "sym": "A"}, {"ch": "t", "sym": "B"}
        assert table.ack(rule, {"id": 1, "ok": [a], "no": [b]}) == ("A", "B")
        assert table.ack(rule, {"id": 1, "ok": [a, b], "no": [b]}) == ("A", "B")
        assert table.ack(rule, {"id": 1, "no": [b]}) == ("A", "B") and table.ack(rule, {"id": 1}) == ("AB", "")
        assert table.ack({"not": "no", "id": "id", "at": AT}, {"id": 1, "no": [a]}) == ("B", "A")
        assert table.ack({"some": "ok", "at": AT}, {}) == ("", "")


class FailTests:
    """What is refused or ended."""

    def test_by_id(self) -> None:
        """A message of several names none of them."""
        table = Table()
        assert table.fail({"id": "id"}, {"id": 1}) == ("AB", False) and table.fail({"id": "id"}, {"id": 2}) == (
            "C",
            True,
        )
        assert table.fail({"id": "id"}, {"id": 7}) == ("", True) and table.fail({"id": "id"}, {"id": 9}) == ("", True)

    def test_by_fields(self) -> None:
        """With or without the id."""
        table = Table()
        assert table.fail({"at": AT}, {"ch": "t"}) == ("ABC", True) and table.fail({"at": AT}, {}) == ("", True)
        rule = {"id": "id", "at": AT}
        assert table.fail(rule, {"id": 1, "sym": "B"}) == ("B", True) and table.fail(rule, {"id": 1}) == ("AB", False)
        assert table.fail(rule, {"id": 7, "sym": "B"}) == ("", True)

    def test_nothing(self) -> None:
        """The message does not say which."""
        assert Table().fail({}, {"error": 1}) == ("", True)


class NamedTests:
    """What `do: resubscribe` means."""

    def test_named(self) -> None:
        """By id, by fields, else all."""
        table = Table()
        for id_path, at, doc, found in (
            (None, None, {}, "ABC"),
            ("id", None, {"id": 1}, "AB"),
            ("id", None, {"id": 7}, ""),
            ("id", None, {}, ""),
            (None, AT, {"sym": "C"}, "C"),
            (None, AT, {}, ""),
        ):
            assert names(table.answers.named(READER.path(id_path), READER.at(at), Scope(doc))) == found


class TextTests:
    """Reasons."""

    def test_texts(self) -> None:
        """Cut to a bearable length; nothing where there is none."""
        paths = parse_paths(["msg", "error.msg"])
        assert text_at(paths, Scope({"error": {"msg": "no"}})) == "no" and text_at(paths, Scope({})) == ""
        assert text_at(paths, Scope({"msg": None})) == "" and text_at(paths, Scope({"msg": {"a": 5}})) == '{"a":5}'
        assert len(text_at(paths, Scope({"msg": "x" * 10_000}))) == MAX_TEXT_CHARS
        assert text_at(paths, Scope({"msg": object()})) == ""

    def test_unique(self) -> None:
        """Each once, in order."""
        a, b, _ = Table().ledger.all()
        assert unique([b, a, b]) == [b, a]
