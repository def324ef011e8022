"""`relayd token`: a new static token, and the line that makes it known."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import click

_NAME = re.compile(r"[!#-z|~]{1,255}")
_DURATION = re.compile(r"([0-9]{1,5})([dh])")
_UNITS_S = {"d": 86_400, "h": 3_600}


@click.command()
@click.argument("name")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A claim; VALUE is JSON, or a text.")
@click.option("--expires", metavar="90d", help="Days (d) or hours (h) from now; never without it.")
def token(name: str, claims: tuple[str, ...], expires: str | None) -> None:
    """Print a new token for NAME, and its line for the file that auth.tokens or admin.tokens names.

    The token itself is stored nowhere: give it to its bearer. The file holds a hash of it.
    """
    import time

    from relayd.core.auth.tokens import PREFIX, TOKEN_BYTES, TokensError, parse_tokens, write_line

    if _NAME.fullmatch(name) is None:
        raise click.BadParameter("ASCII without spaces, quotes and braces, up to 255 characters", param_hint="NAME")
    told: dict[str, Any] = {}
    for claim in claims:
        key, equals, value = claim.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{claim} is not NAME=VALUE", param_hint="--claim")
        told[key] = _value(value)
    if expires is not None:
        hit = _DURATION.fullmatch(expires)
        if hit is None:
            raise click.BadParameter("a number of days or hours, such as 90d or 12h", param_hint="--expires")
        told["exp"] = int(time.time()) + int(hit[1]) * _UNITS_S[hit[2]]
    text = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    line = write_line(text, name, told)
    try:
        parse_tokens(line)
    except TokensError as error:
        raise click.ClickException(f"these claims cannot be written: {error}") from None
    click.echo(f"token: {text}", err=True)
    click.echo("Add this line to the file that auth.tokens (or admin.tokens) names:", err=True)
    click.echo(line)


def _value(text: str) -> Any:
    """A value written as JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
