"""Who judges what: a token that stands in the file, a signed one, and everything else by the user's own server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relayd.core.auth.credentials import Credential
from relayd.core.auth.jwt import MAX_TOKEN_BYTES, JwtRules, looks_signed, verify
from relayd.core.auth.keyring import KeyRing
from relayd.core.auth.tokens import Tokens
from relayd.core.auth.verdict import Denied, Done, Identity, Why
from relayd.core.auth.webhook import Webhook

#: Whatever stands in a header is printable; what comes in a message or percent-encoded must be so too, since the
#: webhook gets it as a header.
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Signed:
    """The `auth.jwt` block at work."""

    rules: JwtRules
    ring: KeyRing


@dataclass(slots=True)
class Verifiers:
    """The judges that `auth` names. A token that a judge of tokens refuses is bad: the webhook is not asked again."""

    wall: Callable[[], float]
    tokens: Tokens | None = None
    """Replaced when the file changes."""
    signed: Signed | None = None
    webhook: Webhook | None = None

    def check(self, credential: Credential, done: Done) -> None:
        """The verdict, in this turn or later. Never raises."""
        token, certificate = credential.token, credential.certificate
        if certificate is not None:
            ended = certificate.expires_at is not None and self.wall() >= certificate.expires_at
            done(Denied(Why.EXPIRED) if ended else certificate)
        elif token is not None and (len(token) > MAX_TOKEN_BYTES or _TOKEN.fullmatch(token) is None):
            done(Denied(Why.MALFORMED))
        elif token is not None and (self.tokens is not None or self.signed is not None):
            self._check_token(token, done)
        elif self.webhook is not None:
            self.webhook.ask(credential, done)
        else:
            done(None)

    def _check_token(self, token: str, done: Done) -> None:
        static = Denied(Why.MALFORMED) if self.tokens is None else self.tokens.find(token, self.wall())
        signed = self.signed
        if signed is None or isinstance(static, Identity) or not looks_signed(token):
            done(static)
        else:
            signed.ring.read(lambda keys: verify(token, keys, signed.rules, self.wall()), done)
