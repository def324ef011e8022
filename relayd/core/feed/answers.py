"""What an answer of the upstream means for subscriptions: which are confirmed, which have failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from relayd.core.feed.control import AckRule, At, FailRule
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.fields import value_text
from relayd.core.feed.ledger import Ledger, Request, Subscription
from relayd.core.feed.path import MISSING, Path, Paths, Scope
from relayd.core.feed.subscription import SUBSCRIBE
from relayd.core.feed.template import as_text

T = TypeVar("T")

# Shown to browsers and in the log: an error page must not fill either.
MAX_TEXT_CHARS = 500

LEFT_OUT = "the upstream's answer leaves it out"


@dataclass(slots=True)
class Answer(Generic[T]):
    """What an answer says."""

    confirmed: list[Subscription[T]] = field(default_factory=list)
    failed: list[Subscription[T]] = field(default_factory=list)
    named: bool = True
    """False: everything in a message failed, and only some of it need be at fault."""


class Answers(Generic[T]):
    """Reads answers against what was asked."""

    def __init__(self, dialect: Dialect, ledger: Ledger[T]) -> None:
        self._fields = dialect.fields
        self._ledger = ledger

    def ack(self, rule: AckRule, scope: Scope, request: Request[T] | None = None) -> Answer[T]:
        """What is confirmed; `request` is the one an HTTP reply belongs to."""
        by_id = self._by_id(rule.id, scope)
        if by_id is not MISSING:
            request = by_id if isinstance(by_id, Request) else None
            if request is None:
                return Answer()
        is_end = request is not None and request.verb != SUBSCRIBE
        if is_end and request is not None:
            self._ledger.settle(request)
        if rule.all is not None or rule.some is not None or rule.but is not None:
            return self._listed(rule, scope, None if is_end else request)
        if is_end:
            return Answer()
        if rule.at is not None:
            return Answer(self._narrowed(rule.at, scope, request))
        if request is None:
            request = self._ledger.oldest_request() if rule.id is None else None
        return Answer(list(request.subscriptions)) if request is not None else Answer()

    def fail(self, rule: FailRule, scope: Scope) -> Answer[T]:
        """What is refused or ended; nothing = the message does not say."""
        by_id = self._by_id(rule.id, scope)
        request = by_id if isinstance(by_id, Request) else None
        if by_id is not MISSING and request is None:
            return Answer()
        if request is not None and request.verb != SUBSCRIBE:
            self._ledger.settle(request)
            return Answer()
        if rule.at is not None:
            tables = rule.at.tables(scope, self._fields)
            if tables or request is None:
                return Answer(failed=self._narrowed(rule.at, scope, request))
        failed = list(request.subscriptions) if request is not None else []
        return Answer(failed=failed, named=len(failed) <= 1)

    def named(self, id_path: Path | None, at: At | None, scope: Scope) -> list[Subscription[T]]:
        """The subscriptions that a message names by the id we sent, or by fields; all where it need not name any."""
        if id_path is None and at is None:
            return self._ledger.all()
        by_id = self._by_id(id_path, scope)
        request = by_id if isinstance(by_id, Request) else None
        if by_id is not MISSING and request is None:
            return []
        if at is not None:
            return self._narrowed(at, scope, request)
        return list(request.subscriptions) if request is not None else []

    def _by_id(self, path: Path | None, scope: Scope) -> object:
        """The request of an id; None where the id is unknown, MISSING where the message holds none."""
        if path is None:
            return MISSING
        text = value_text(scope.get(path))
        return MISSING if text is None else self._ledger.request_of(text)

    def _narrowed(self, at: At, scope: Scope, request: Request[T] | None) -> list[Subscription[T]]:
        tables = at.tables(scope, self._fields)
        if request is not None and not tables:
            return list(request.subscriptions)
        found = unique(one for table in tables for one in self._ledger.agreeing(table))
        return [one for one in found if request is None or one in request.subscriptions]

    def _listed(self, rule: AckRule, scope: Scope, request: Request[T] | None) -> Answer[T]:
        asked = list(request.subscriptions) if request is not None else []
        failed = self._members(rule, scope, rule.but)
        stated = rule.all if rule.all is not None else rule.some
        if stated is None or scope.get(stated) is MISSING:
            # No list of successes: what was asked for and is not named as failed has succeeded.
            return Answer([one for one in asked if one not in failed], failed)
        confirmed = [one for one in self._members(rule, scope, stated) if one not in failed]
        if rule.all is not None:
            failed += [one for one in asked if one not in confirmed and one not in failed]
        return Answer(confirmed, failed)

    def _members(self, rule: AckRule, scope: Scope, path: Path | None) -> list[Subscription[T]]:
        if path is None:
            return []
        tables = rule.listed(scope, path, self._fields)
        return unique(one for table in tables for one in self._ledger.agreeing(table))


def unique(found: Iterable[Subscription[T]]) -> list[Subscription[T]]:
    """Each once, in order."""
    return list({id(one): one for one in found}.values())


def text_at(paths: Paths, scope: Scope) -> str:
    """The reason that a message gives, cut to a bearable length; nothing where it gives none."""
    value = scope.first(paths)
    if value is MISSING or value is None:
        return ""
    try:
        return as_text(value)[:MAX_TEXT_CHARS]
    except (TypeError, ValueError):
        return ""
