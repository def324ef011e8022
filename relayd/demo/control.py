"""The exchange's controls over HTTP, for tests in another process and for the buttons of the demo page.

| request | does |
|-|-|
| `GET /status` | whether it is mute, its products and counters |
| `GET /journal?topic=T&connection=N&after=N&limit=N&payloads=1` | what was sent: number, time, hash, length |
| `POST /mute` `POST /unmute` `POST /drop` | as they say |
| `POST /skip?product=P` | loses one trade |
| `POST /price?product=P&price=X&hold=2.0` | trades at exactly this price, and stays there for `hold` seconds |
| `POST /refuse?status=503` | refuses new connections; without `status` no longer |
| `POST /burst?count=N&product=P` | N trades at once |
| `POST /raw?topic=T&binary=1` | sends the request's body exactly as it is |

Answers are JSON; every POST answers with the status. A POST that a page of another origin makes a browser send is
refused.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import Request

from relayd.demo.floor import HOLD_S, Floor

#: What one answer of the journal lists unless asked otherwise, and at most: some 200 B an entry.
JOURNAL_ENTRIES: Final = 10_000
JOURNAL_ENTRIES_MAX: Final = 100_000
#: The largest body of `POST /raw` (guess: five times what a test asks of it).
BODY_BYTES_MAX: Final = 16 * 1024 * 1024

_Arguments = Mapping[str, str]


class _BadRequest(ValueError):
    """What was asked makes no sense; the text is the answer."""


class Control(Resource):
    """A leaf that serves all of the table above below its own path, or of it only `actions`."""

    isLeaf = True

    def __init__(self, floor: Floor, actions: Collection[str] | None = None) -> None:
        super().__init__()
        self._floor = floor
        table: dict[tuple[bytes, str], Callable[[Request, _Arguments], object]] = {
            (b"GET", "status"): lambda request, arguments: self._status(),
            (b"GET", "journal"): lambda request, arguments: self._journal(arguments),
            (b"POST", "mute"): lambda request, arguments: floor.mute(),
            (b"POST", "unmute"): lambda request, arguments: floor.unmute(),
            (b"POST", "drop"): lambda request, arguments: floor.drop(),
            (b"POST", "skip"): lambda request, arguments: floor.skip(self._product(arguments)),
            (b"POST", "price"): lambda request, arguments: floor.set_price(
                self._product(arguments), _text(arguments, "price"), _number(arguments, "hold", float, HOLD_S)
            ),
            (b"POST", "refuse"): lambda request, arguments: floor.refuse(_number(arguments, "status", int, None)),
            (b"POST", "burst"): lambda request, arguments: floor.burst(
                _number(arguments, "count", int, 1), self._product(arguments) if "product" in arguments else None
            ),
            (b"POST", "raw"): self._raw,
        }
        self._table = {key: act for key, act in table.items() if actions is None or key[1] in actions}

    def render(self, request: Request) -> bytes:
        """Answer one request."""
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        method = request.method.upper()
        lookup = b"GET" if method == b"HEAD" else method
        name = "/".join(part.decode("ascii", "replace") for part in request.postpath or ())
        act = self._table.get((lookup, name))
        if act is None:
            methods = sorted(method.decode() for method, action in self._table if action == name)
            if methods:
                request.setHeader(b"allow", ", ".join(methods).encode())
                return _refuse(request, 405, f"/{name} takes {' or '.join(methods)}")
            return _refuse(request, 404, f"there is no such control; known are {', '.join(a for _, a in self._table)}")
        if method == b"POST" and not _same_origin(request):
            return _refuse(request, 403, "the request comes from a page of another origin")
        try:
            answer = act(request, _query(request))
        except ValueError as error:    # UnicodeDecodeError is one
            return _refuse(request, 400, str(error))
        return msgspec.json.encode(answer if isinstance(answer, dict) else self._status())

    def _status(self) -> dict[str, Any]:
        floor = self._floor
        return {
            "muted": floor.muted, "refusing": floor.refusing, "products": list(floor.market.listings),
            "connections": floor.connections, "counters": asdict(floor.counters),
        }

    def _journal(self, arguments: _Arguments) -> dict[str, Any]:
        journal = self._floor.journal
        limit = _number(arguments, "limit", int, JOURNAL_ENTRIES)
        if not 1 <= limit <= JOURNAL_ENTRIES_MAX:
            raise _BadRequest(f"limit: expected 1 to {JOURNAL_ENTRIES_MAX}, got {limit}")
        found = journal.entries(
            arguments.get("topic"), _number(arguments, "connection", int, None), _number(arguments, "after", int, 0)
        )
        entries = []
        for entry, _ in zip(found, range(limit), strict=False):
            listed = asdict(entry)
            payload = listed.pop("payload")
            if arguments.get("payloads") == "1":
                listed["payload"] = None if payload is None else b64encode(payload).decode()
            entries.append(listed)
        return {
            "frames": journal.frames, "bytes": journal.bytes, "dropped_frames": journal.dropped_frames,
            "dropped_payloads": journal.dropped_payloads, "entries": entries,
        }

    def _raw(self, request: Request, arguments: _Arguments) -> dict[str, Any]:
        payload = b"" if request.content is None else request.content.read(BODY_BYTES_MAX + 1)
        if len(payload) > BODY_BYTES_MAX:
            raise _BadRequest(f"the body has more than {BODY_BYTES_MAX} bytes")
        is_text = arguments.get("binary") != "1"
        if is_text:
            payload.decode()    # a text frame that is not UTF-8 would cost the connection
        return {"sent": self._floor.send_raw(_text(arguments, "topic"), payload, is_text)}

    def _product(self, arguments: _Arguments) -> str:
        product = _text(arguments, "product")
        if product not in self._floor.market.listings:
            raise _BadRequest(f"product: {product!r} is none of {', '.join(self._floor.market.listings)}")
        return product


def _query(request: Request) -> dict[str, str]:
    """The query's own arguments, the last of each name: `request.args` would also take a payload for a form."""
    query = request.uri.partition(b"?")[2].decode("latin-1")
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True, errors="strict").items()}


def _text(arguments: _Arguments, name: str) -> str:
    if not arguments.get(name):
        raise _BadRequest(f"{name}: missing")
    return arguments[name]


def _number(arguments: _Arguments, name: str, kind: type, default: Any) -> Any:
    if name not in arguments:
        return default
    try:
        return kind(arguments[name])
    except ValueError:
        raise _BadRequest(f"{name}: {arguments[name]!r} is not a number") from None


def _same_origin(request: Request) -> bool:
    """Browsers name the origin of every POST; other programs need not."""
    origin, host = request.getHeader(b"origin"), request.getHeader(b"host")
    return origin is None or origin.partition(b"://")[2] == host


def _refuse(request: Request, status: int, message: str) -> bytes:
    request.setResponseCode(status)
    code = {403: "forbidden", 404: "unknown_control", 405: "bad_method"}.get(status, "bad_request")
    return msgspec.json.encode({"code": code, "message": message})
