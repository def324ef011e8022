"""Stand-ins for what surrounds an upstream session: a tiny dialect, and a hub that writes down what it hears.

The dialect, one text frame each: we say `+a,b` and `-a,b` to subscribe and unsubscribe, `!` to beat, `key` to log in; the
upstream says `ok a,b`, `no a why`, `no ?` (without saying which), `a=payload`, `a#payload` (a snapshot), `a~3=payload`
(three were missing), `lost 2`, `hi`, `in`, `out`, `beat`, `pong`, `ping 3` (wants three answers), `do drain`,
`do reconnect`, `do again a`. Lines of one frame are parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    Login,
    Outcome,
    Parts,
    Unknown,
    Unrouted,
)
from relayd.core.publication import TopicState
from relayd.core.upstream_topics import Wanted


def frame(text: str) -> Frame:
    """A text frame."""
    return Frame(text.encode())


class TinyTalk:
    """One connection's conversation in the tiny dialect."""

    def __init__(
        self, *, login: bool = False, every_s: float | None = None, unasked: bool = False, repair: str = "mark"
    ) -> None:
        self.ready = not login
        self.subscribed: list[str] = []
        self._every_s = every_s
        self._unasked = unasked
        self._repair = repair

    def open(self) -> Sequence[Frame]:
        return [] if self.ready else [frame("key")]

    def want(self, topics: Sequence[Wanted[str]]) -> Sequence[Frame]:
        names = [wanted.topic for wanted in topics]
        assert not set(names) & set(self.subscribed), f"{names} asked for twice on one connection"
        self.subscribed += names
        return [] if self._unasked else [frame("+" + ",".join(names))]

    def drop(self, topics: Sequence[str]) -> Sequence[Frame]:
        for topic in topics:
            self.subscribed.remove(topic)
        return [frame("-" + ",".join(topics))]

    def beat(self) -> Sequence[Frame]:
        return [frame("!")]

    def heartbeat_every_s(self) -> float | None:
        return self._every_s

    def message(self, payload: bytes, is_text: bool) -> Outcome[str]:
        text = payload.decode()
        if "\n" in text:
            return Parts(tuple(self.message(part.encode(), is_text) for part in text.split("\n")))
        head, _, rest = text.partition(" ")
        match head:
            case "ok":
                return Ack(tuple(topic for topic in rest.split(",") if topic in self.subscribed))
            case "no":
                topic, _, why = rest.partition(" ")
                if topic == "?":
                    return Fail((), why)
                named = tuple(topic.split(","))
                return Fail(named, why, named=len(named) == 1)
            case "hi":
                return Login("next", sends=(frame("me"),))
            case "in":
                self.ready = True
                return Login("done")
            case "out":
                return Login("refused")
            case "beat":
                return Beat()
            case "pong":
                return Beat(answer=True)
            case "lost":
                return Beat(gap=True, missed=int(rest), repair=self._repair)
            case "ping":
                return Beat(sends=(frame("pong"),) * int(rest or 1))
            case "do":
                do, _, topic = rest.partition(" ")
                if do == "again":
                    return Control("resubscribe", (topic,) if topic else ())
                return Control("drain" if do == "drain" else "reconnect")
        return self._data(text, is_text)

    def _data(self, text: str, is_text: bool) -> Outcome[str]:
        snapshot = "#" in text
        name, separator, value = text.partition("#" if snapshot else "=")
        if not separator:
            return Unknown()
        name, _, missed = name.partition("~")
        if name not in self.subscribed and not self._unasked:
            return Unrouted()
        return Data(
            (name,),
            value.encode(),
            is_text,
            snapshot=snapshot,
            gap=bool(missed),
            missed=int(missed) if missed else None,
            repair=self._repair if missed else "",
        )


class WritingHub:
    """A sink that writes down what it hears, in one line each."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def publish(self, topic: str, payload: bytes, is_text: bool, snapshot: bool = False) -> None:
        self.heard.append(f"{topic}{'#' if snapshot else '='}{payload.decode()}")

    def gap(self, topic: str, missed: int | None, why: str) -> None:
        self.heard.append(f"{topic} gap {'?' if missed is None else missed} {why}")

    def state(self, topic: str, state: TopicState, why: str = "") -> None:
        self.heard.append(f"{topic} {state.value}{f': {why}' if why else ''}")

    def read(self) -> list[str]:
        """What came since the last reading."""
        heard, self.heard = self.heard, []
        return heard


NO_FIELDS: Mapping[str, str] = {}
