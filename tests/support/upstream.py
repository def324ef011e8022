"""Stand-ins for what surrounds an upstream session: a tiny dialect, and a hub that writes down what it hears.

The dialect, one text frame each: we say `+a,b` and `-a,b` to subscribe and unsubscribe, `!` to beat, `key` to log in;
the upstream says `ok a,b`, `no a why`, `no ?` (without saying which), `a=payload`, `a#payload` (a snapshot),
`a~3=payload` (three were missing), `lost 2`, `hi`, `in`, `out`, `beat`, `pong`, `ping 3` (wants three answers),
`do drain`, `do drain ws://x/`, `do reconnect`, `do again a`, `do resync a`, `held`. Lines of one frame are parts;
payloads that are numbers are numbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayd.core.feed.conversation import Wanted
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    Held,
    HttpRequest,
    Login,
    Outcome,
    Parts,
    Sending,
    Unknown,
    Unrouted,
)
from relayd.core.feed.publish import Upward
from relayd.core.publication import TopicState
from relayd.core.upstream.effects import DialImpossible, DialRequest

NO_FIELDS: Mapping[str, str] = {}


def frame(text: str) -> Frame:
    """A text frame."""
    return Frame(text.encode())


class TinyTalk:
    """One connection's conversation in the tiny dialect."""

    def __init__(
        self,
        url: str = "ws://feed.example/",
        *,
        login: bool = False,
        acks: bool = True,
        every_s: float | None = None,
        unasked: bool = False,
        in_url: bool = False,
        repair: str = "mark",
        forbidden: str = "",
        fetched: str = "",
        saved: Mapping[str, object] = NO_FIELDS,
        headers: Mapping[str, str] = NO_FIELDS,
        protocols: tuple[str, ...] = (),
    ) -> None:
        """`forbidden` is a topic that cannot be asked for, `fetched` one whose snapshot is fetched; `in_url` puts the
        topics into the URL."""
        self.ready = not login
        self.subscribed: dict[str, bool] = {}
        """Topic -> confirmed."""
        self.saved = saved
        self.follows = False
        self.dropped = 0
        self.impossible = ""
        self._url, self._headers, self._protocols = url, headers, protocols
        self._acks = acks
        self._every_s = every_s
        self._unasked, self._in_url = unasked, in_url
        self._repair = repair
        self._forbidden = forbidden
        self._fetched = fetched
        self._refused: list[Fail[str]] = []

    def dial_request(self, url: str | None = None) -> DialRequest:
        topics = f"?{','.join(self.subscribed)}" if self._in_url else ""
        return DialRequest((url or self._url) + topics, self._headers, self._protocols)

    def open(self) -> Sequence[Sending]:
        if self.impossible:
            raise DialImpossible(self.impossible)
        return [] if self.ready else [frame("key")]

    def want(self, topics: Sequence[Wanted[str]]) -> Sequence[Sending]:
        names = [wanted.topic for wanted in topics]
        assert not set(names) & set(self.subscribed), f"{names} asked for twice on one connection"
        self._refused += [Fail((name,), "it is forbidden") for name in names if name == self._forbidden]
        names = [name for name in names if name != self._forbidden]
        self.subscribed |= dict.fromkeys(names, not self._acks)
        return [] if self._unasked or self._in_url or not names else [frame("+" + ",".join(names))]

    def drop(self, topics: Sequence[str]) -> Sequence[Sending]:
        known = [topic for topic in topics if self.subscribed.pop(topic, None) is not None]
        return [frame("-" + ",".join(known))] if known else []

    def retry(self, topics: Sequence[str]) -> Sequence[Sending]:
        assert set(topics) <= set(self.subscribed)
        return [frame("+" + ",".join(topics))]

    def resubscribe(self, topics: Sequence[str]) -> Sequence[Sending]:
        return [frame("-" + ",".join(topics)), *self.retry(topics)]

    def publish(self, upward: Upward) -> Frame:
        return upward.frame({"id": 1, **upward.fields})

    def snapshot(self, topic: str) -> Sequence[Sending]:
        return [HttpRequest("GET", f"http://feed.example/{topic}", number=7)] if topic == self._fetched else []

    def refresh(self) -> Sequence[Sending]:
        return [HttpRequest("PUT", "http://feed.example/token", number=8)]

    def take_refused(self) -> Sequence[Fail[str]]:
        refused, self._refused = self._refused, []
        return refused

    def is_confirmed(self, topic: str) -> bool:
        return self.subscribed.get(topic, False)

    def reply(self, body: bytes, status: int = 200, number: int | None = None) -> Outcome[str]:
        return self.message(body, True) if status == 200 else Fail(tuple(self.subscribed), f"HTTP status {status}")

    def beat(self) -> Sequence[Sending]:
        return [frame("!")]

    def heartbeat_every_s(self) -> float | None:
        return self._every_s

    def message(self, payload: bytes, is_text: bool, sse: Mapping[str, object] | None = None) -> Outcome[str]:
        text = payload.decode()
        if "\n" in text:
            return Parts(tuple(self.message(part.encode(), is_text) for part in text.split("\n")))
        head, _, rest = text.partition(" ")
        match head:
            case "ok":
                topics = tuple(topic for topic in rest.split(",") if topic in self.subscribed)
                self.subscribed |= dict.fromkeys(topics, True)
                return Ack(topics)
            case "no":
                topic, _, why = rest.partition(" ")
                if topic == "?":
                    return Fail((), why)
                named = tuple(topic.split(","))
                if why.startswith("left out"):
                    return Ack(failed=named, text=why)
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
                if do == "resync":
                    return Control("resync", (topic,))
                return Control("drain", url=topic or None) if do == "drain" else Control("reconnect")
            case "held":
                return Held()
            case "found":
                return Ack(released=(Data((rest,), b"held", True),))
            case "call":
                return Beat(sends=(HttpRequest("GET", "http://feed.example/", number=1),))
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
            seq=int(value) if value.isdigit() else None,
            snapshot=snapshot,
            gap=bool(missed),
            missed=int(missed) if missed else None,
            repair=self._repair if missed else "",
        )


class WritingHub:
    """A sink that writes down what it hears, in one line each."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> None:
        self.heard.append(f"{topic}{'#' if snapshot else '='}{payload.decode()}{' json' if is_json else ''}")

    def gap(self, topic: str, missed: int | None, why: str) -> None:
        self.heard.append(f"{topic} gap {'?' if missed is None else missed} {why}")

    def state(self, topic: str, state: TopicState, why: str = "") -> None:
        self.heard.append(f"{topic} {state.value}{f': {why}' if why else ''}")

    def forget(self, topic: str) -> None:
        self.heard.append(f"{topic} forgotten")

    def read(self) -> list[str]:
        """What came since the last reading."""
        heard, self.heard = self.heard, []
        return heard
