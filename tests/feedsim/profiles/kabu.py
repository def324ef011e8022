"""A simulated feed: Kabu."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile


class Kabu(Profile):
    """Subscribed by HTTP with a token that a new one voids; 50 symbols, and the reply says which; no ack, no ping."""

    name = "kabu"
    topics: ClassVar[dict[str, str]] = {"kabu/1/9433": "9433@1", "kabu/2/165120018": "165120018@2"}
    environ: ClassVar[dict[str, str]] = {"KABU_PASSWORD": "p"}
    conflated = True
    most = 50

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.token = ""
        self.tokens = 0
        self.registered: dict[str, dict[str, Any]] = {}

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        asked = json.loads(body)
        if (method, path) == ("POST", "/kabusapi/token"):
            if asked != {"APIPassword": "p"}:
                return 401, {"Code": 4001013, "Message": "token"}
            self.tokens += 1
            self.token = f"token-{self.tokens}"
            return 200, {"ResultCode": 0, "Token": self.token}
        if headers.get("x-api-key") != self.token:
            return 401, {"Code": 4001009, "Message": "API key"}
        if not all(type(one["Exchange"]) is int and type(one["Symbol"]) is str for one in asked["Symbols"]):
            return 400, {"Code": 4001007, "Message": "parameter"}
        refused = False
        for symbol in asked["Symbols"]:
            key = f"{symbol['Symbol']}@{symbol['Exchange']}"
            if path == "/kabusapi/unregister":
                self.registered.pop(key, None)
            elif key in self.refused or len(self.registered) >= self.most:
                refused = True
            else:
                self.registered[key] = symbol
        self._share()
        answer: dict[str, object] = {"RegistList": list(self.registered.values())}
        return (400, {"Code": 4001019, "Message": "only some", **answer}) if refused else (200, answer)

    def _share(self) -> None:
        for peer in self.simulator.open:
            peer.subscribed = dict.fromkeys(self.registered, True)

    def opened(self, peer: Peer) -> None:
        self._share()

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        symbol, _, exchange = key.partition("@")
        return Made.whole({"Symbol": symbol, "Exchange": int(exchange), "CurrentPrice": 2400 + number, "note": "é/"})

    def void(self) -> None:
        """Somebody else fetched a token."""
        self.token = "another's"
