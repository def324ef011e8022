"""What judging a credential needs of the world: files that change, key sets that are fetched, the user's own server.

`AuthService` feeds `core/auth`, which decides. No line of its log holds a token, a cookie or a claim.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.config import model
from relayd.core.auth.authority import Signed, Verifiers
from relayd.core.auth.jwt import JwtRules
from relayd.core.auth.keyring import KeyRing
from relayd.core.auth.keys import KeysError, parse_keys
from relayd.core.auth.tokens import Tokens, parse_tokens
from relayd.core.auth.webhook import OnFailure, Question, Webhook
from relayd.core.beat import next_beat
from relayd.core.dial_rules import DialRules
from relayd.core.feed.outcome import HttpRequest
from relayd.core.mishap import AUTH, Report
from relayd.io.dialling import DiallingReactor
from relayd.io.mishaps import log_it
from relayd.io.names import Names
from relayd.io.tls import trust_root
from relayd.io.upstream_http import NoReply, call

#: How often a file is looked at; a new token counts within that.
LOOK_EVERY_S: Final = 5.0
#: As config/check/auth.py: a larger file was refused when relayd started.
MAX_FILE_BYTES: Final = 4 << 20

log = Logger()


class WatchedFile:
    """A file that is read when it has changed. What is wrong with it is told, and what it held before goes on."""

    def __init__(self, path: str, setting: str, take: Callable[[bytes], None]) -> None:
        self._path = Path(path)
        self._setting = setting
        self._take = take
        self._seen: tuple[int, int, int] | None = None
        self._told = ""

    def look(self) -> None:
        """Read it, if it is not what it was."""
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError("larger than 4 MiB")
            self._take(data)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if why != self._told:
                log.error("a file of auth cannot be used, what it held before goes on", setting=self._setting, why=why)
            self._told = why
        else:
            self._seen, self._told = seen, ""


class AuthService(Service):
    """The judges of one `auth` block, with their files and servers. `verifiers` is the authority of the door."""

    def __init__(
        self,
        auth: model.Auth,
        reactor: Any,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        *,
        user_agent: str,
        names: Names | None = None,
    ) -> None:
        self._auth = auth
        self._monotonic = monotonic
        rules = DialRules.parse(auth.allow_addresses, "auth.allow_addresses")
        self._reactor: Any = DiallingReactor(reactor, names or Names(reactor), rules)
        self._user_agent = user_agent
        self._files: list[WatchedFile] = []
        self._calls: set[Deferred[None]] = set()
        self._look_at = 0.0
        self._webhook_fails = False
        self.report: Report = log_it
        """Hears of a question that failed, while that is handled."""
        self.verifiers = Verifiers(wall)
        if auth.tokens is not None:
            self.verifiers.tokens = Tokens()
            self._files.append(WatchedFile(auth.tokens, "auth.tokens", self._take_tokens))
        if auth.jwt is not None:
            self._build_signed(auth.jwt)
        if auth.webhook is not None:
            self.verifiers.webhook = Webhook(
                self._ask,
                cache_s=auth.webhook.cache_s,
                on_failure=OnFailure(auth.webhook.on_failure),
                monotonic=monotonic,
                wall=wall,
            )

    def _build_signed(self, jwt: model.Jwt) -> None:
        rules = JwtRules(frozenset(jwt.algorithms), jwt.issuer, jwt.audience or (), jwt.leeway_s)
        is_fetched = "://" in jwt.jwks
        self._ring = KeyRing(self._monotonic, self._fetch_keys if is_fetched else None)
        self.verifiers.signed = Signed(rules, self._ring)
        if not is_fetched:
            self._files.append(WatchedFile(jwt.jwks, "auth.jwt.jwks", self._take_keys))

    def startService(self) -> None:
        """Files are read before anybody comes in."""
        super().startService()
        self.tick(self._monotonic())

    def stopService(self) -> None:
        """Nobody is asked any more."""
        super().stopService()
        for asked in list(self._calls):
            asked.cancel()

    def next_deadline(self) -> float:
        """When files or keys are to be looked at."""
        return self._look_at

    def tick(self, now: float) -> None:
        """Look at the files, and fetch the keys when they are old."""
        self._look_at = next_beat(now, LOOK_EVERY_S)
        for file in self._files:
            file.look()
        if self.verifiers.signed is not None:
            self.verifiers.signed.ring.tick(now)

    # -- files --------------------------------------------------------------------------------------------------------

    def _take_tokens(self, data: bytes) -> None:
        self.verifiers.tokens = parse_tokens(data.decode("ascii"))

    def _take_keys(self, data: bytes) -> None:
        assert self.verifiers.signed is not None
        algorithms = self.verifiers.signed.rules.algorithms
        self._ring.loaded(parse_keys(data, algorithms, secrets_allowed=True))

    # -- servers ------------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Deferred[Any], Any, None], timeout_s: float | None = None) -> None:
        started = Deferred.fromCoroutine(work)
        self._calls.add(started)
        if timeout_s is not None:
            started.addTimeout(timeout_s, self._reactor)
        started.addErrback(lambda failure: failure.trap(CancelledError, TimeoutError) and None)
        started.addErrback(self._failed)
        started.addBoth(lambda _: self._calls.discard(started))

    def _failed(self, failure: Failure) -> None:
        try:
            failure.raiseException()
        except Exception:
            self.report(AUTH)

    def _fetch_keys(self) -> None:
        self._start(self._fetch())

    async def _fetch(self) -> None:
        jwt = self._auth.jwt
        assert jwt is not None
        request = HttpRequest("GET", jwt.jwks, (("Accept", "application/json"),))
        try:
            reply = await call(self._reactor, request, trust_root(None), self._user_agent)
            if reply.status != 200:
                raise KeysError(f"the answer was {reply.status}")
            self._ring.loaded(parse_keys(reply.body, frozenset(jwt.algorithms), secrets_allowed=False))
        except (NoReply, KeysError) as error:
            log.warn("auth.jwt.jwks cannot be fetched, and stays as it was", why=str(error))
            self._ring.failed()
        except BaseException:
            self._ring.failed()
            raise

    def _ask(self, key: bytes, question: Question) -> None:
        assert self._auth.webhook is not None
        self._start(self._call_webhook(key, question), self._auth.webhook.timeout_s)

    async def _call_webhook(self, key: bytes, question: Question) -> None:
        block, webhook = self._auth.webhook, self.verifiers.webhook
        assert block is not None and webhook is not None
        before = webhook.failures
        request = HttpRequest("POST", block.url, question.headers, question.body, "application/json")
        why = "no answer of those that are expected"
        try:
            reply = await call(self._reactor, request, trust_root(None), self._user_agent)
            webhook.answered(key, reply.status, reply.body)
        except NoReply as error:
            why = str(error)
            webhook.failed(key)
        except BaseException:
            webhook.failed(key)  # whoever still waits
            raise
        fails = webhook.failures > before
        if fails is not self._webhook_fails:
            self._webhook_fails = fails
            if fails:
                log.warn("auth.webhook fails: browsers are treated as on_failure says", why=why)
            else:
                log.info("auth.webhook answers again")
