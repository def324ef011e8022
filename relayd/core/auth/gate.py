"""Who may see the admin listener: a token of a file, as `Bearer TOKEN` or as the password of Basic.

    curl -H "Authorization: Bearer rt_..." http://127.0.0.1:8081/metrics
    curl -u prometheus:rt_... http://127.0.0.1:8081/metrics

Basic is there for browsers, which ask for it by themselves; its user is the name of the token's line.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from relayd.core.auth.jwt import MAX_TOKEN_BYTES
from relayd.core.auth.tokens import Tokens
from relayd.core.auth.verdict import Identity

#: RFC 9110 11.6.1, RFC 7617 2.1: what a 401 asks for.
CHALLENGE: Final = 'Basic realm="relayd", charset="UTF-8", Bearer'


def admits(authorization: str | None, tokens: Tokens, wall: float) -> bool:
    """Whether this `Authorization` shows a token of the file that counts now. Never raises, whatever the text."""
    scheme, _, rest = (authorization or "").partition(" ")
    shown = rest.strip(" \t")
    if not shown or len(shown) > 2 * MAX_TOKEN_BYTES:
        return False
    if scheme.lower() == "bearer":
        return isinstance(tokens.find(shown, wall), Identity)
    if scheme.lower() != "basic":
        return False
    try:
        user, colon, token = base64.b64decode(shown, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    found = tokens.find(token, wall)
    # The name is no secret, but which of the two was wrong is nobody's business.
    return bool(colon) and isinstance(found, Identity) and hmac.compare_digest(user.encode(), found.subject.encode())
