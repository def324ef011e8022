"""What a refused client reads."""

from __future__ import annotations

import json

import h11
import pytest

from relayd.core.refusal import (
    BAD_WEBSOCKET_VERSION,
    NO_UPGRADE,
    PHRASES,
    REFUSALS,
    TOO_MANY_CONNECTIONS,
    HttpRefusal,
)


def read(response: bytes) -> tuple[h11.Response, bytes]:
    """The response as a client of HTTP/1.1 understands it, and the body."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = client.next_event()
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    return head, bytes(body.data)


class HttpRefusalTests:
    """Each row of the table, rendered."""

    def test_further_headers(self) -> None:
        """After those it has."""
        refusal = HttpRefusal(405, "c", "l", "m", (("Allow", "GET"),)).with_headers((("Vary", "Origin"),))
        head, _ = read(refusal.render())
        assert dict(head.headers)[b"vary"] == b"Origin"
        assert refusal.headers == (("Allow", "GET"), ("Vary", "Origin"))

    @pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.label)
    def test_is_a_whole_response(self, refusal: HttpRefusal) -> None:
        """Status, reason phrase, JSON body of the declared length, and no second request on this connection."""
        head, body = read(refusal.render())
        headers = {bytes(name): bytes(value) for name, value in head.headers}
        assert head.status_code == refusal.status
        assert head.reason.decode() == PHRASES[refusal.status]
        assert headers[b"content-type"] == b"application/json"
        assert b"close" in headers[b"connection"]
        assert json.loads(body) == {"code": refusal.code, "message": refusal.message}

    def test_labels_are_distinct(self) -> None:
        """A label counts one reason."""
        labels = [refusal.label for refusal in REFUSALS]
        assert len(set(labels)) == len(labels) > 30

    def test_says_when_to_come_back(self) -> None:
        """`later` adds Retry-After to a copy."""
        head, _ = read(TOO_MANY_CONNECTIONS.later(7).render())
        assert (b"retry-after", b"7") in list(head.headers)
        assert TOO_MANY_CONNECTIONS.retry_after_s is None

    @pytest.mark.parametrize("refusal", [NO_UPGRADE, BAD_WEBSOCKET_VERSION])
    def test_426_names_the_protocol_to_upgrade_to(self, refusal: HttpRefusal) -> None:
        """RFC 9110 15.5.22: Upgrade in the answer, and Connection says that it is of this hop."""
        head, _ = read(refusal.render())
        headers = dict(head.headers)
        assert headers[b"upgrade"] == b"websocket"
        assert headers[b"connection"] == b"Upgrade, close"

    def test_wrong_version_is_told_the_right_one(self) -> None:
        """RFC 6455 4.2.2: the versions that are served."""
        head, _ = read(BAD_WEBSOCKET_VERSION.render())
        assert dict(head.headers)[b"sec-websocket-version"] == b"13"
