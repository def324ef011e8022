"""How browsers show who they are, and who judges that."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from relayd.config.endpoints import Network
from relayd.config.model.block import Block
from relayd.config.scalars import Duration, Given, Seq, Text, refuse

_PLACE: Final = re.compile(r"(cookie|query):[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}", re.ASCII)
_PLACES: Final = 'header, message, certificate, "cookie:NAME" or "query:NAME"'
#: RFC 3986; a brace is no part of a URL, whatever templates it may come from.
_URL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!&'()*+,;=%-]+")


def parse_place(value: Any) -> str:
    """One of `auth.from`. Raises PydanticCustomError for anything else."""
    if isinstance(value, str) and (value in ("header", "message", "certificate") or _PLACE.fullmatch(value)):
        return value
    raise refuse("not a place where a token is shown", _PLACES)


def parse_url(value: Any) -> str:
    """An http or https URL with a host, without a user, a fragment or a placeholder. Raises PydanticCustomError."""
    expected = "a URL such as https://app.example.com/relayd-auth"
    if isinstance(value, str) and "$" in value:
        raise refuse("a placeholder stands only inside an upstream", expected)
    if not isinstance(value, str) or _URL_CHARACTERS.fullmatch(value) is None:
        raise refuse("not a URL", expected)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refuse("not a URL", expected) from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise refuse("not a URL of http: or https:", expected)
    if "@" in parts.netloc or "#" in value:
        raise refuse("a URL here has no user and no fragment", expected)
    return value


def _listed(value: Any) -> Any:
    """One audience stands for a list of one."""
    return [value] if isinstance(value, str) else value


Place = Annotated[
    str,
    PlainValidator(parse_place),
    WithJsonSchema({"type": "string", "pattern": "^(header|message|certificate|(cookie|query):.+)$"}),
]
"""Where a token is shown."""
Url = Annotated[str, PlainValidator(parse_url), WithJsonSchema({"type": "string", "pattern": "^https?://."})]
"""An http or https URL."""
Audience = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed),
    Field(strict=False, min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One audience, or several of which a token names one."""
Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""How a token is signed."""


class Jwt(Block):
    """Signed tokens. Each has `exp`, and is for `audience` where it names any."""

    jwks: Text
    """The keys: a JWKS file, read anew when it changes, or an https URL, fetched anew every 10 minutes and when a token
    names an unknown key."""
    algorithms: Seq[Algorithm] = Field(min_length=1)
    """The algorithms that count; required, since a token must not choose."""
    issuer: Given[Text] = None
    """What `iss` must be; left out: not looked at."""
    audience: Given[Audience] = None
    """What `aud` must hold; left out: a token that names an audience is not for relayd."""
    leeway_s: Duration = Field(default=30.0, alias="leeway")
    """How far the clocks of issuer and relayd may differ; RFC 7519 says "no more than a few minutes"."""


class Webhook(Block):
    """Your own server, which is asked who a browser is: a POST with the browser's cookie and Authorization."""

    url: Url
    """What is asked. 200 and a JSON object of claims: this is who; 204: nobody in particular; 401 or 403: no."""
    timeout_s: Duration = Field(default=2.0, alias="timeout")
    """For the whole answer; the browser waits so long (guess)."""
    cache_s: Duration = Field(default=30.0, alias="cache")
    """How long an answer is remembered for the same cookie and Authorization; a reconnect storm asks once (guess)."""
    on_failure: Literal["refuse", "anonymous"] = "refuse"
    """No answer, or not one of those above: `refuse` sends the browser away with 1013, to come back; `anonymous` lets
    it have what is public."""


class Auth(Block):
    """How browsers show who they are. One of `jwt`, `tokens` and `webhook` at least, or `certificate` in `from`."""

    jwt: Given[Jwt] = None
    """Signed tokens."""
    tokens: Given[Text] = None
    """A file of static tokens, hashed; `relayd token` makes its lines. Read anew when it changes."""
    webhook: Given[Webhook] = None
    """Your own server decides: for cookies, and for tokens where neither `jwt` nor `tokens` is there."""
    from_: Seq[Place] = Field(default=("header", "message"), alias="from", min_length=1)
    """Where a token is shown, in the order in which they are tried: `header` (`Authorization: Bearer`), `message`
    (`{"op":"auth","token":...}`), `cookie:NAME`, `query:NAME` (ends in the logs of proxies, so it must be named),
    `certificate` (the client's, where the listener has `tls.client_ca`)."""
    within_s: Duration = Field(default=10.0, alias="within")
    """How long a browser has to show a token where no route is public; longer than a slow phone's round trip."""
    allow_addresses: Seq[Network] = ()
    """As `connect.allow_addresses`, for the servers of `jwt` and `webhook`; none."""
