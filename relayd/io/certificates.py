"""A listener's TLS: certificate and key from PEM files, read anew while the listener runs; and whom its clients'
certificates name.
"""

from __future__ import annotations

import os
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, trustRootFromCertificates
from zope.interface import implementer

from relayd.core.auth.certificate import CertificateNames, identity_of
from relayd.core.auth.verdict import Identity

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_BEGIN_CRL: Final = b"-----BEGIN X509 CRL-----"
_END_CRL: Final = b"-----END X509 CRL-----"


class CertificateError(Exception):
    """Files that make no TLS server; `str()` names the file and what is wrong with it."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """What a TLS listener presents. TLS 1.2 at least (RFC 8996), HTTP/1.1 by ALPN.

    Args:
        cert: PEM file with the certificate and the chain above it.
        key: PEM file with the private key.
        client_ca: PEM file with the authorities that a client's certificate must come from; None asks for none.
        client_crl: PEM file with a revocation list of each of those; None looks at none.

    Raises CertificateError.
    """

    def __init__(self, cert: str, key: str, client_ca: str | None = None, client_crl: str | None = None) -> None:
        self._files = cert, key, client_ca, client_crl
        self._seen: list[tuple[int, int, int]] = []
        self.ends_at = 0.0
        """When the first certificate of the chain ends, in wall seconds."""
        self.reload()

    def reload(self) -> None:
        """Read the files again, for connections from now on. Raises CertificateError and keeps what it had."""
        seen = self._look()
        self._context, self.ends_at = _load(*self._files)
        self._seen = seen

    @property
    def has_changed(self) -> bool:
        """Whether a file is not what was read."""
        return self._look() != self._seen

    def _look(self) -> list[tuple[int, int, int]]:
        seen = []
        for file in self._files:
            try:
                found = None if file is None else os.stat(file)
            except OSError:
                found = None
            seen.append((0, 0, 0) if found is None else (found.st_mtime_ns, found.st_size, found.st_ino))
        return seen

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def _load(cert: str, key: str, client_ca: str | None, client_crl: str | None) -> tuple[SSL.Context, float]:
    chain = _certificates(cert)
    try:
        private_key = crypto.load_privatekey(crypto.FILETYPE_PEM, _read(key), lambda *_: b"")
    except (crypto.Error, ValueError):
        raise CertificateError(f"{key} holds no private key in PEM without a passphrase") from None
    options = CertificateOptions(
        privateKey=private_key,
        certificate=chain[0].original,
        extraCertChain=[above.original for above in chain[1:]],
        trustRoot=None if client_ca is None else trustRootFromCertificates(_certificates(client_ca)),
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableProtocols=[b"http/1.1"],
    )
    try:
        context = options.getContext()
        context.check_privatekey()
    except SSL.Error:
        raise CertificateError(f"the key in {key} does not belong to the first certificate in {cert}") from None
    if client_crl is not None:
        store = context.get_cert_store()
        assert store is not None
        for revoked in _revocations(client_crl):
            store.add_crl(revoked)
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
    return context, min(end_of(one.original) for one in chain)


def _revocations(path: str) -> list[x509.CertificateRevocationList]:
    blocks = _blocks(_read(path), _BEGIN_CRL, _END_CRL)
    if not blocks:
        raise CertificateError(f"{path} holds no revocation list in PEM ({_BEGIN_CRL.decode()})")
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError:
        raise CertificateError(f"{path} holds a revocation list that cannot be read") from None


def _certificates(path: str) -> list[Certificate]:
    blocks = _blocks(_read(path), _BEGIN, _END)
    if not blocks:
        raise CertificateError(f"{path} holds no certificate in PEM ({_BEGIN.decode()})")
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except (crypto.Error, ValueError):
        raise CertificateError(f"{path} holds a certificate that cannot be read") from None


def _blocks(text: bytes, begin: bytes, end: bytes) -> list[bytes]:
    return [begin + part.split(end)[0] + end + b"\n" for part in text.split(begin)[1:]]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from None


def end_of(certificate: crypto.X509) -> float:
    """When it ends, in wall seconds."""
    return certificate.to_cryptography().not_valid_after_utc.timestamp()


def peer_of(transport: Any) -> Identity | None:
    """Whom the certificate names that the other end of a TLS connection has shown, and TLS has verified; None without
    TLS, without a certificate, and where it cannot be read."""
    get = getattr(transport, "getPeerCertificate", None)
    shown: crypto.X509 | None = get() if get is not None else None
    if shown is None:
        return None
    try:
        return identity_of(_names_of(shown.to_cryptography()))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def _names_of(certificate: x509.Certificate) -> CertificateNames:
    subject = certificate.subject

    def of(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(one.value) for one in subject.get_attributes_for_oid(oid))

    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        others = x509.SubjectAlternativeName([])
    return CertificateNames(
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        ends_at=certificate.not_valid_after_utc.timestamp(),
        common_names=of(NameOID.COMMON_NAME),
        organizations=of(NameOID.ORGANIZATION_NAME),
        units=of(NameOID.ORGANIZATIONAL_UNIT_NAME),
        dns=tuple(others.get_values_for_type(x509.DNSName)),
        emails=tuple(others.get_values_for_type(x509.RFC822Name)),
        uris=tuple(others.get_values_for_type(x509.UniformResourceIdentifier)),
        addresses=tuple(str(one) for one in others.get_values_for_type(x509.IPAddress)),
    )
