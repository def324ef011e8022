"""Whom a client's certificate names: what TLS has verified, as claims.

    {"sub": "press-7", "exp": 1830000000, "certificate": {"cn": "press-7", "o": ["Plant"], "ou": ["Hall 3"],
     "dns": ["press-7.plant.example"], "email": [], "uri": [], "ip": [], "sha256": "5e88..."}}

`sub` is the common name, or without one the first name among the alternatives. What is not printable, or longer than a
subject may be, is left out: nobody has a name that cannot be shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from relayd.core.auth.verdict import Identity

#: As the `sub` of a signed token.
MAX_NAME_CHARS: Final = 255
#: Names of one kind; a certificate of a real client has a handful (guess).
MAX_NAMES: Final = 64


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """What stands in a certificate that TLS has verified. `ends_at` is wall time in seconds."""

    sha256: str
    """Of the whole certificate, in hex."""
    ends_at: float
    common_names: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    addresses: tuple[str, ...] = field(default=())


def identity_of(names: CertificateNames) -> Identity:
    """Who it is; ends with the certificate."""
    common = _fit(names.common_names)
    dns, emails, uris, addresses = map(_fit, (names.dns, names.emails, names.uris, names.addresses))
    subject = next(iter((*common, *uris, *emails, *dns, *addresses)), names.sha256)
    certificate: dict[str, object] = {
        "o": _fit(names.organizations),
        "ou": _fit(names.units),
        "dns": dns,
        "email": emails,
        "uri": uris,
        "ip": addresses,
        "sha256": names.sha256,
    }
    if common:
        certificate["cn"] = common[0]
    claims = {"sub": subject, "exp": names.ends_at, "certificate": certificate}
    return Identity(subject, MappingProxyType(claims), names.ends_at)


def _fit(texts: Iterable[str]) -> list[str]:
    fit = [text for text in texts if text and len(text) <= MAX_NAME_CHARS and text.isprintable()]
    return fit[:MAX_NAMES]
