"""What a client publishes, in the words of a feed: the `publish` of a route, compiled.

    publish: {send: $data}                                          the payload as it stands
    publish: {send: {op: message, room: $room, body: $data}}        inside a message of the feed's own

`$data` is the JSON value that was published; its bytes go up as they came. Inside a longer text (`"SAY $data"`) a JSON
text stands without its quotes, every other value as JSON writes it. Payloads that are no JSON are texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from relayd.core.feed.errors import Refused
from relayd.core.feed.outcome import Frame
from relayd.core.feed.template import Node, Text, compile_node, names_of, render_frame, texts_of

DATA: Final = "data"
"""The placeholder that stands for what is published."""

_raw = msgspec.json.Decoder(msgspec.Raw)
_any = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Publish:
    """One template, compiled."""

    send: Node
    names: frozenset[str]
    """What it looks up."""
    as_it_stands: bool
    """It is `$data` and nothing else: any payload goes up unread, binary too."""
    reads_data: bool
    """`$data` stands inside a text, so that its value matters."""

    def data(self, payload: bytes) -> object:
        """What `$data` stands for."""
        try:
            return _any.decode(payload) if self.reads_data else _raw.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            return payload.decode("utf-8", "replace")


class Upward(NamedTuple):
    """What a client publishes on a topic of these fields."""

    publish: Publish
    fields: Mapping[str, str]
    payload: bytes
    is_text: bool

    def frame(self, values: Mapping[str, object]) -> Frame:
        """The message; `values` are all placeholders but `$data`.

        Raises Refused for a payload or value that the message cannot hold, Unset for a placeholder without a value.
        """
        publish = self.publish
        if publish.as_it_stands:
            return Frame(self.payload, self.is_text)
        if not self.is_text:
            raise Refused("its `publish` makes JSON of what is published, which binary is not")
        return Frame(render_frame(publish.send, {**values, DATA: publish.data(self.payload)}))


def parse_publish(send: object) -> Publish:
    """The template of a route's `publish.send`. Raises Malformed."""
    node = compile_node(send)
    only = node.only if isinstance(node, Text) else None
    return Publish(
        node,
        names_of(node),
        as_it_stands=only is not None and only.name == DATA and not only.filters,
        reads_data=isinstance(node, Text)
        or any(ref.name == DATA and (text.only is None or ref.filters) for text in texts_of(node) for ref in text.refs),
    )


AS_IT_STANDS: Final = parse_publish("$data")
"""What a route without a template of its own means where it may send at all."""
