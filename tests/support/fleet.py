"""A fleet before a simulated feed that numbers its messages, in one process and without a clock of its own.

The feed speaks the tiny dialect of `tests/support/upstream.py`. What it sends on a connection lies there until it is
delivered, so that connections can be ahead of one another, and what was not delivered is gone when one is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from relayd.core.feed.outcome import Frame, Held, Outcome
from relayd.core.feed.path import parse_path
from relayd.core.feed.resume import Resume
from relayd.core.feed.sequence import Sequence
from relayd.core.publication import TopicState
from relayd.core.upstream.effects import Close, Dial, DialRequest, Drop, Effects, Loss, LossKind, Note, Send
from relayd.core.upstream.fleet import Fleet
from relayd.core.upstream.link import Link
from relayd.core.upstream.places import Claim, Claims
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.session import UpstreamSession
from relayd.core.windows import Windows
from tests.support.upstream import TinyTalk

COUNTED = Sequence(at=parse_path("n"), step=1)


def own(fields: Mapping[str, str]) -> Claims:
    """A subscription for each topic."""
    return (Claim((fields["name"],)),)


def in_url(fields: Mapping[str, str]) -> Claims:
    """The same where nothing but the connection's end ends it."""
    return (Claim((fields["name"],), ends=False),)


class Rings:
    """A hub that keeps what each topic's ring would hold: numbers, and None for a gap mark."""

    def __init__(self) -> None:
        self.rings: dict[str, list[int | None]] = {}
        self.states: dict[str, str] = {}

    def publish(
        self,
        topic: str,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> None:
        self.rings.setdefault(topic, []).append(int(payload))

    def gap(self, topic: str, missed: int | None, why: str) -> None:
        self.rings.setdefault(topic, []).append(None)

    def state(self, topic: str, state: TopicState, why: str = "") -> None:
        self.states[topic] = state.value + (f": {why}" if why else "")

    def forget(self, topic: str) -> None:
        self.rings.pop(topic, None)

    def faults(self) -> list[str]:
        """Numbers that stand twice or out of order, and holes without a mark."""
        found = []
        for topic, ring in self.rings.items():
            last, marked = None, False
            for number in ring:
                if number is None:
                    marked = True
                    continue
                if last is not None and number <= last:
                    found.append(f"{topic}: {number} after {last}")
                if last is not None and number > last + 1 and not marked:
                    found.append(f"{topic}: {last} to {number} without a mark")
                last, marked = number, False
        return found


class CursorTalk(TinyTalk):
    """Messages end with `@` and their point, from which the next connection is resumed; that point comes again."""

    def __init__(self, resume: Resume, **talk: Any) -> None:
        super().__init__(**talk)
        self._resume = resume
        self._from = resume.connected()

    def dial_request(self, url: str | None = None) -> DialRequest:
        request = super().dial_request(url)
        return replace(request, url=f"{request.url}#{self._from or ''}")

    def message(self, payload: bytes, is_text: bool, sse: Mapping[str, object] | None = None) -> Outcome[str]:
        text, _, point = payload.decode().partition("@")
        known = bool(point) and self._resume.replayed(int(point), text.encode())
        self.follows = self._resume.follows
        if known:
            return Held()
        return super().message(text.encode(), is_text, sse)


class Line:
    """One connection, as the feed sees it."""

    def __init__(self, link: Link[str], url: str) -> None:
        self.link = link
        self.url = url
        self.subscribed: set[str] = set()
        self.inbox: list[str] = []
        """What is on its way to us."""


class World:
    """The feed, the fleet, and what stands between them."""

    def __init__(self, *, numbered: bool = True, unasked: bool = False, cursor: bool = False, **policy: Any) -> None:
        """`cursor`: the feed keeps all that it said, and replays it from the point that the URL asks for."""
        self.now = 1000.0
        self.hub = Rings()
        self.said: dict[str, int] = {}
        self.lines: list[Line] = []
        self.refuses = 0
        """How many dials are refused from now on."""
        self.most_open = 0
        self.woken = 0
        self.notes: list[Note] = []
        self.sent: list[str] = []
        self.talk: dict[str, Any] = {"unasked": unasked, "in_url": policy.get("topics_in_url", False)}
        if cursor:
            self.talk["acks"] = False
        policy.setdefault("heartbeat", None)
        policy.setdefault("claims_of", in_url if policy.get("topics_in_url") else own)
        self.policy = UpstreamPolicy(
            unasked=unasked, sequence_of=lambda fields: COUNTED if numbered else None, **policy
        )
        self.windows = Windows()
        self.past: list[tuple[int, str, str]] | None = [] if cursor else None
        """Point, topic, message."""
        self.dialling: list[tuple[Link[str], DialRequest]] = []
        self._met: list[Link[str]] = []
        self.fleet: Fleet[str] = Fleet(
            "feed", self.policy, self.hub, self._make, monotonic=lambda: self.now, wake=self._wake
        )

    def _wake(self) -> None:
        self.woken += 1

    def _make(
        self, *, resume: Resume, main: bool, renew: Callable[[str, str | None], bool]
    ) -> UpstreamSession[str]:
        return UpstreamSession(
            "feed", self.policy, self.hub, converse=lambda saved: self._converse(resume), random=lambda: 0.5,
            wall=lambda: self.now, windows=self.windows, renew=renew,
        )  # fmt: skip

    def _converse(self, resume: Resume) -> TinyTalk:
        return TinyTalk(**self.talk) if self.past is None else CursorTalk(resume, **self.talk)

    # -- the relay's side

    def settle(self) -> None:
        """Do all that is due at once, and answer all that is asked."""
        for _ in range(100):
            busy = False
            if self.fleet.next_deadline() <= self.now:
                self.fleet.tick(self.now)
                busy = True
            for link in list(self.fleet.all):
                if link not in self._met:
                    self._met.append(link)
                    self._carry_out(link, link.session.start(self.now))
                    busy = True
                if link.session.next_deadline() <= self.now:
                    self._carry_out(link, link.session.tick(self.now))
                    busy = True
            if not busy:
                return
        raise AssertionError("it is never done")

    def _carry_out(self, link: Link[str], effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Dial(request):
                    self.dialling.append((link, request))
                case Send(Frame(payload)):
                    self._asked(self.line_of(link), payload.decode())
                case Close() | Drop():
                    self.dialling = [one for one in self.dialling if one[0] is not link]
                    self._hang_up(link, Loss(LossKind.CLOSED, code=1000))
                case Note():
                    self.notes.append(effect)
                case _:
                    raise AssertionError(effect)

    def line_of(self, link: Link[str]) -> Line:
        [line] = [one for one in self.lines if one.link is link]
        return line

    def _hang_up(self, link: Link[str], loss: Loss) -> None:
        lines = [one for one in self.lines if one.link is link]
        self.lines = [one for one in self.lines if one.link is not link]
        for _ in lines:
            link.session.socket_closed()
        self._carry_out(link, link.session.lost(loss, self.now))

    # -- the feed's side

    def _asked(self, line: Line, text: str) -> None:
        self.sent.append(text)
        topics = text[1:].split(",")
        if text[0] == "+":
            line.subscribed |= set(topics)
            line.inbox.append(f"ok {text[1:]}")
        else:
            line.subscribed -= set(topics)

    def accept(self) -> None:
        """Answer every dial."""
        self.settle()
        while self.dialling:
            link, request = self.dialling.pop(0)
            if self.refuses:
                self.refuses -= 1
                self._carry_out(link, link.session.lost(Loss(LossKind.CONNECT), self.now))
            else:
                url, _, point = request.url.partition("#")
                line = Line(link, url)
                if self.policy.topics_in_url:
                    line.subscribed |= set(url.partition("?")[2].split(","))
                if point:
                    line.inbox += [
                        text for at, topic, text in self.past or () if at >= int(point) and topic in line.subscribed
                    ]
                self.lines.append(line)
                self.most_open = max(self.most_open, len(self.lines))
                self._carry_out(link, link.session.tcp_up(self.now))
                self._carry_out(link, link.session.ws_open(self.now))
            self.settle()

    def publish(self, *topics: str) -> None:
        """A message happens; whoever has it subscribed gets it sent."""
        for topic in topics:
            number = self.said[topic] = self.said.get(topic, 0) + 1
            text = f"{topic}={number}"
            if self.past is not None:
                point = len(self.past) + 1
                text += f"@{point}"
                self.past.append((point, topic, text))
            for line in self.lines:
                if topic in line.subscribed or self.policy.unasked:
                    line.inbox.append(text)

    def deliver(self, line: Line, most: int = 1000) -> None:
        """What is on its way arrives."""
        for _ in range(most):
            if not line.inbox or line not in self.lines:
                return
            text = line.inbox.pop(0).encode()
            self._carry_out(line.link, line.link.session.message(text, True, self.now))
            self.settle()

    def deliver_all(self) -> None:
        """Everywhere."""
        for line in list(self.lines):
            self.deliver(line)

    def cut(self, line: Line) -> None:
        """The connection is lost, with what was on its way."""
        self._hang_up(line.link, Loss(LossKind.BROKEN))
        self.settle()

    def tell(self, text: str, line: Line | None = None) -> None:
        """The feed says something on a connection, the first one otherwise."""
        (line or self.lines[0]).inbox.append(text)

    # -- both

    def want(self, *topics: str) -> None:
        for topic in topics:
            self.fleet.want(topic, {"name": topic}, self.now)

    def unwant(self, *topics: str) -> None:
        for topic in topics:
            self.fleet.unwant(topic, self.now)

    def calm(self) -> None:
        """Dials are answered, and all that is on its way arrives."""
        for _ in range(10):
            self.accept()
            self.deliver_all()
        self.settle()

    def after(self, seconds: float) -> None:
        """Let time pass, with all that is due on the way."""
        end = self.now + seconds
        for _ in range(1000):
            self.calm()
            links = [link.session.next_deadline() for link in self.fleet.all]
            due = max(self.now, min([self.fleet.next_deadline(), *links]))
            if due > end:
                self.now = end
                self.calm()
                return
            self.now = due
        raise AssertionError("too many deadlines")


def live(*topics: str, **policy: Any) -> World:
    """A world in which these topics have data."""
    world = World(**policy)
    world.want(*topics)
    world.calm()
    world.publish(*topics)
    world.calm()
    return world


def subscribed(world: World) -> list[str]:
    """What each connection of the feed has."""
    return ["".join(sorted(line.subscribed)) for line in world.lines]
