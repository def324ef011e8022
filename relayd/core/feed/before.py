"""HTTP steps before a connection is opened: tokens, tickets, the URL itself.

They are run anew for every attempt to connect, except those that say `keep: until-refused`: what these saved is used
again until the upstream refuses it. Failures are never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relayd.core.feed.connect import Connect, placeholder
from relayd.core.feed.decode import JSON, decode_value
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.outcome import HttpRequest
from relayd.core.feed.path import MISSING, Scope
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice
from relayd.core.upstream_effects import DialImpossible


class StepFailed(DialImpossible):
    """A step was not answered as it must be. `status` is the reply's; the text holds nothing of its body."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Kept:
    """What steps with `keep` saved; one for each upstream, over all of its connections."""

    def __init__(self) -> None:
        self.by_step: dict[int, dict[str, object]] = {}

    def forget(self) -> None:
        """The upstream refused it (401, 403, a failed handshake): ask anew."""
        self.by_step.clear()


class Preparation:
    """The steps of one attempt: `next_request`, then `reply`, until there is none left; then `saved` is whole."""

    def __init__(
        self,
        connect: Connect,
        kept: Kept,
        *,
        wall: Callable[[], float],
        uuid: Callable[[], str],
        secrets: Mapping[str, str],
    ) -> None:
        self._connect = connect
        self._kept = kept
        self._voice = Voice(wall=wall, uuid=uuid, secrets=secrets, saved={}, resume=Resume())
        self._at = 0

    @property
    def saved(self) -> Mapping[str, object]:
        """What the steps left, for the conversation."""
        return self._voice.saved

    def next_request(self) -> HttpRequest | None:
        """The next step's request; None = all are done. Raises DialImpossible where it lacks a value."""
        steps = self._connect.before
        while self._at < len(steps):
            kept = self._kept.by_step.get(self._at)
            if kept is None:
                return self._request()
            self._voice.saved.update(kept)
            self._at += 1
        return None

    def _request(self) -> HttpRequest:
        http = self._connect.before[self._at].http
        try:
            return http.render(self._voice.values(http.names), number=self._at + 1)
        except Unset as error:
            text = f"connect.before[{self._at}] needs {placeholder(error.name)}, which has no value"
            raise DialImpossible(text) from None
        except Refused as error:
            raise DialImpossible(f"connect.before[{self._at}]: {error}") from None

    @property
    def within_s(self) -> float:
        """How long the present step's reply may take."""
        return self._connect.before[self._at].within_s

    def reply(self, body: bytes, status: int = 200) -> None:
        """The reply to the last request. Raises StepFailed where it is an error, or lacks what is to be saved."""
        place = f"connect.before[{self._at}]"
        if not 200 <= status < 300:
            raise StepFailed(f"{place}: HTTP status {status}", status)
        step = self._connect.before[self._at]
        scope = Scope(decode_value(body, JSON))
        found: dict[str, object] = {}
        for name, paths in step.save.items():
            found[name] = scope.first(paths)
            if found[name] is MISSING:
                raise StepFailed(f"{place}: the reply holds no {paths[0].text}", status)
        self._voice.saved.update(found)
        if step.keep:
            self._kept.by_step[self._at] = found
        self._at += 1
