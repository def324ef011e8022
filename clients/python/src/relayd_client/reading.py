"""What the readers of a connection want, what was asked of the server, and where each topic stands.

One server subscription per text, shared by its readers. Each reader keeps its own place per topic, so that what comes
again after a reconnect, or for a newcomer, is given to nobody twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relayd_client.acks import Acks
from relayd_client.messages import Garbled, Lost, Publication, Refused, Resumed, TopicState
from relayd_client.reader import Reader, Wish

#: Far below limits.message of relayd, whatever their names are.
TOPICS_PER_REQUEST = 100

#: No answer is awaited; positions that are not known yet.
_NEEDED = -1


@dataclass(slots=True)
class Topic:
    """One topic that is read on this connection."""

    epoch: str
    readers: dict[Reader, None]
    newcomers: dict[Reader, int] = field(default_factory=dict)
    """Readers who wait for their beginning, which comes with the answer to this request or a later one."""
    catching: int = 0
    """The request that brings back what a newcomer's beginning jumped over for the others; -1: to be sent."""
    rejoined: bool = False
    """It was left and joined for a newcomer, and nothing has come since."""
    state: str = ""
    why: str = ""

    def waits(self, name: str) -> bool:
        """Whether one of them stands nowhere yet."""
        return any(name not in reader.at for reader in self.readers)


class Reading:
    """The readers of one connection.

    Args:
        send: a request without `id`; returns the `id` it was given.
    """

    def __init__(self, send: Callable[[dict[str, Any]], int]) -> None:
        self._send = send
        self._readers: dict[Reader, None] = {}
        self._fresh: dict[Reader, None] = {}
        self._changed: dict[str, None] = {}
        self._asked: dict[str, Wish] = {}
        self._topics: dict[str, Topic] = {}
        self._acks = Acks()
        self._is_open = False
        self._pending = 0
        self._newest = 0
        self._resumed_up_to = 0
        self.names: dict[int, str] = {}
        """References of binary frames."""

    # -- readers ------------------------------------------------------------------------------------------------------

    def add(self, reader: Reader) -> None:
        """One more."""
        self._readers[reader] = None
        self._fresh[reader] = None
        self._changed[reader.topic] = None

    def drop(self, reader: Reader) -> None:
        """One less. Idempotent."""
        if reader not in self._readers:
            return
        del self._readers[reader]
        self._fresh.pop(reader, None)
        for name, topic in list(self._topics.items()):
            topic.newcomers.pop(reader, None)
            if reader in topic.readers:
                del topic.readers[reader]
                if not topic.readers:
                    self._forget(name)
        self._changed[reader.topic] = None

    def _forget(self, name: str) -> None:
        del self._topics[name]
        self._acks.forget(name)

    @property
    def readers(self) -> list[Reader]:
        """All of them."""
        return list(self._readers)

    # -- the connection -----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Requests may be sent: everybody is asked for, with their places."""
        self._is_open = True
        self._fresh = dict.fromkeys(self._readers)
        self._changed.update((reader.topic, None) for reader in self._readers)
        self.flush()
        self._resumed_up_to = self._newest

    def lost(self) -> None:
        """What was asked of that connection is gone; places stay."""
        self._is_open = False
        self._pending = 0
        self._asked.clear()
        self._acks.reset()
        self.names.clear()
        for topic in self._topics.values():
            topic.newcomers.clear()
            topic.catching = 0
            topic.state = ""

    def answered(self, request: int) -> None:
        """A final answer came; what has changed meanwhile is asked next."""
        if request and request == self._pending:
            self._pending = 0
            self.flush()

    def flush(self) -> None:
        """Asks the server for what has changed, one step at a time.

        A newcomer to a topic that others read needs its beginning, which the server gives to those who come: so it is
        left and joined.
        """
        if not self._is_open or self._pending or not (self._changed or self._fresh):
            return
        wanted: dict[str, Wish] = {}
        kept = set()  # texts with a reader from before
        for reader in self._readers:
            other = wanted.get(reader.topic)
            wanted[reader.topic] = other.joined(reader.wish) if other else reader.wish
            if reader not in self._fresh:
                kept.add(reader.topic)
        ask: dict[str, None] = {}
        leave: dict[str, None] = {}
        for text in self._changed:
            asked = self._asked.get(text)
            if asked is not None and asked == wanted.get(text) and text in kept:
                continue
            if asked is not None:
                leave[text] = None
            if text in wanted:
                ask[text] = None
        again = self._invite(ask, leave)
        self._changed.clear()
        self._fresh.clear()
        for texts in portions(leave):
            self._pending = self._request({"op": "unsubscribe", "topics": texts})
        for text in leave:
            self._asked.pop(text, None)
        for wish in dict.fromkeys(wanted[text] for text in ask):
            for texts in portions(text for text in ask if wanted[text] == wish):
                self._subscribe(texts, wish, self._since(texts, again))

    def _invite(self, ask: dict[str, None], leave: dict[str, None]) -> set[str]:
        """Newcomers to topics that are read already; which topics are to begin anew for them."""
        again = set()
        for name, topic in self._topics.items():
            newcomers = [reader for reader in self._fresh if reader.matches(name) and name not in reader.at]
            if not newcomers:
                continue
            again.add(name)
            for reader in newcomers:
                topic.readers[reader] = None
                topic.newcomers[reader] = self._newest + 1
            for reader in topic.readers:
                ask[reader.topic] = None
                if reader.topic in self._asked:
                    leave[reader.topic] = None
        return again

    def _since(self, texts: list[str], again: set[str]) -> dict[str, str]:
        asking = set(texts)
        since = {}
        for name, topic in self._topics.items():
            # From a place there is no beginning for those who wait for it.
            if name in again or topic.waits(name) or not any(reader.topic in asking for reader in topic.readers):
                continue
            since[name] = f"{topic.epoch}:{min(reader.at[name] for reader in topic.readers)}"
        return since

    def _subscribe(self, texts: list[str], wish: Wish, since: Mapping[str, str]) -> int:
        request: dict[str, Any] = {"op": "subscribe", "topics": texts}
        if wish.hz != float("inf"):
            request["max_hz"] = wish.hz
        if wish.binary:
            request["binary"] = True
        if wish.window:
            request["window"] = wish.window
        if since:
            request["since"] = since
        self._asked.update(dict.fromkeys(texts, wish))
        self._pending = self._request(request)
        return self._pending

    def _request(self, request: dict[str, Any]) -> int:
        self._newest = self._send(request)
        return self._newest

    # -- what the server says -----------------------------------------------------------------------------------------

    def joined(self, name: str, answer: Mapping[str, Any], request: int | None) -> None:
        """A topic of `subscribed`; without a request: one that a pattern has just met.

        Raises:
            Garbled: the position is none.
        """
        request = self._newest if request is None else request
        epoch, colon, number = str(answer.get("position", "")).rpartition(":")
        if not colon or not number.isdecimal():
            raise Garbled("a position")
        offset = int(number)
        reference = answer.get("ref")
        if isinstance(reference, int):
            self.names[reference] = name
        topic = self._topics.get(name)
        is_known = topic is not None
        if topic is None:
            readers = {r: None for r in self._readers if r.matches(name) and r not in self._fresh}
            if not readers:
                return
            topic = self._topics[name] = Topic(epoch, readers)
        is_new = topic.epoch != epoch
        recovered = answer.get("recovered")
        topic.epoch = epoch
        if request == topic.catching:
            topic.catching = 0
        topic.rejoined = is_known and recovered is None and not is_new
        self._acks.forget(name)
        for reader in list(topic.readers):
            if topic.newcomers.get(reader, request + 1) <= request:
                del topic.newcomers[reader]
            at = reader.at.get(name)
            if is_new:
                reader.forget(name)
            if at is not None and request <= self._resumed_up_to and (is_new or recovered is not None):
                reader.tell("resumed", Resumed(name, recovered is True, f"{epoch}:{offset}"))
            if at is not None and is_new:
                reader.lose(Lost(name, at, max(offset, 1), None, "epoch"))
            if offset == 0 and name not in reader.at:
                reader.at[name] = 0  # all that comes is theirs
        self.state(name, answer)

    def state(self, name: str, message: Mapping[str, Any]) -> None:
        """A topic's state, told where it is news."""
        topic = self._topics.get(name)
        if topic is None:
            return
        new, why = str(message.get("state", "")), str(message.get("why", ""))
        is_news = (topic.state, topic.why) != (new, why)
        topic.state, topic.why = new, why
        for reader in list(topic.readers):
            if is_news or name not in reader.at:
                reader.tell("state", TopicState(name, new, why))

    def publication(self, publication: Publication) -> bool:
        """One publication. Whether a loop has no room for another one."""
        name, offset = publication.topic, publication.offset
        topic = self._topics.get(name)
        if topic is None:
            return False
        hole = None
        pressed = False
        for reader in list(topic.readers):
            if reader in topic.newcomers:
                continue
            at = reader.at.get(name, offset - 1)
            if offset <= at:
                continue
            if offset > at + 1 and (topic.catching or topic.rejoined):
                hole = at if hole is None else min(hole, at)  # a newcomer's beginning
                continue
            reader.give(publication)
            pressed = pressed or reader.is_full
        topic.rejoined = False
        if hole is not None and topic.catching <= 0:
            self._catch_up(name, topic, hole)
        return pressed

    def _catch_up(self, name: str, topic: Topic, hole: int) -> None:
        topic.catching = _NEEDED  # asked for when no newcomer waits any more
        if topic.waits(name):
            return
        texts = [reader.topic for reader in topic.readers]
        text = name if name in texts else texts[0]
        wish = self._asked.get(text)
        if wish is not None:
            topic.catching = self._subscribe([text], wish, {name: f"{topic.epoch}:{hole}"})

    def lose(self, message: Mapping[str, Any]) -> None:
        """`lost`.

        Raises:
            Garbled: a member is missing or of another kind.
        """
        name, after, following = message.get("topic"), message.get("after"), message.get("next")
        count, why = message.get("count"), str(message.get("why", ""))
        if not isinstance(name, str) or not isinstance(after, int) or not isinstance(following, int):
            raise Garbled("lost")
        if count is not None and not isinstance(count, int):
            raise Garbled("lost: count")
        topic = self._topics.get(name)
        if topic is None or why == "epoch":  # that was told with the answer
            return
        told = Lost(name, after, following, count, why)
        for reader in list(topic.readers):
            if reader in topic.newcomers:
                continue
            if why == "rate":
                reader.lose(told)
                continue
            at = reader.at.get(name)
            if at is not None:
                if following - 1 <= at:
                    continue
                if after > at and (topic.catching or topic.rejoined):
                    topic.catching = topic.catching or _NEEDED
                    continue
            reader.skip(name, following - 1)
            if at is not None and at > after:
                # We came back where the farthest behind stood; others lost less.
                reader.lose(Lost(name, at, following, None if count is None else following - at - 1, why))
            else:
                reader.lose(told)

    def refused(self, refusal: Refused) -> None:
        """One text was refused: it ends for its readers."""
        if refusal.topic is None:
            return
        self._asked.pop(refusal.topic, None)
        for reader in [reader for reader in self._readers if reader.topic == refusal.topic]:
            reader.tell("error", refusal)
            if not reader.has_callback:  # a callback is there for another token, on the next connection
                self.drop(reader)
                reader.finish(refusal)

    # -- acknowledgement ----------------------------------------------------------------------------------------------

    @property
    def acknowledges(self) -> bool:
        """Whether anybody has a window."""
        return not self._acks.refused and any(reader.wish.window for reader in self._readers)

    def acks(self, most: int, *, all_of_it: bool) -> list[tuple[str, int]]:
        """What is to be told now, for so many topics."""
        found: list[tuple[str, int]] = []
        for name, topic in self._topics.items():
            if len(found) == most:
                break
            offset = self._acks.due(name, topic.readers, all_of_it=all_of_it)
            if offset is not None:
                found.append((name, offset))
        for name, _ in found:  # the others have their turn first
            self._topics[name] = self._topics.pop(name)
        return found

    def no_acks(self) -> None:
        """The server does not know them."""
        self._acks.refused = True


def portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """In lists of a hundred."""
    whole = list(texts)
    for start in range(0, len(whole), TOPICS_PER_REQUEST):
        yield whole[start : start + TOPICS_PER_REQUEST]
