"""Certificates for tests: an authority of our own, and what it signed or should not have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both in PEM form."""

    pem: bytes
    key_pem: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(
    name: str,
    *,
    issuer: Certificate | None = None,
    hosts: tuple[str, ...] = (),
    authority: bool = False,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    unit: str | None = None,
    use: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Certificate:
    """A certificate for `hosts` (names and addresses), signed by `issuer` or by itself; times count from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATIONAL_UNIT_NAME: unit}
    subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in names.items() if text])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names: list[Any] = [_general_name(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    certificate = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(pem, key_pem, certificate, key)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


LOOPBACK = ("localhost", "127.0.0.1", "::1")


@cache
def authority() -> Certificate:
    """The authority that the tests trust."""
    return make("relayd test authority", authority=True)


@cache
def stranger() -> Certificate:
    """An authority that nobody trusts."""
    return make("a stranger", authority=True)


@cache
def good() -> Certificate:
    """For every name of the loopback."""
    return make("localhost", issuer=authority(), hosts=LOOPBACK)


@cache
def expired() -> Certificate:
    """Good until yesterday."""
    return make("localhost", issuer=authority(), hosts=LOOPBACK, begins=-3 * DAY, ends=-DAY)


@cache
def not_yet_valid() -> Certificate:
    """Good from tomorrow."""
    return make("localhost", issuer=authority(), hosts=LOOPBACK, begins=DAY, ends=3 * DAY)


@cache
def self_signed() -> Certificate:
    """Signed by nobody else."""
    return make("localhost", hosts=LOOPBACK)


@cache
def wrong_host() -> Certificate:
    """For somebody else."""
    return make("other.example", issuer=authority(), hosts=("other.example", "192.0.2.1"))


@cache
def unknown_authority() -> Certificate:
    """Signed by an authority that the tests do not trust."""
    return make("localhost", issuer=stranger(), hosts=LOOPBACK)


def client(name: str, *, issuer: Certificate | None = None, **more: Any) -> Certificate:
    """A certificate that a client may show, of the tests' authority where no other is named."""
    return make(name, issuer=issuer or authority(), use=ExtendedKeyUsageOID.CLIENT_AUTH, **more)


def revoke(*revoked: Certificate, ends: timedelta = DAY) -> bytes:
    """The revocation list of the tests' authority, in PEM form."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority().certificate.subject)
        .last_update(now - 3 * DAY)
        .next_update(now + ends)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
    return builder.sign(authority().key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
