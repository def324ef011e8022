"""A listener's TLS: certificate and key from PEM files, which can be read anew while the listener runs."""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, trustRootFromCertificates
from zope.interface import implementer

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"


class CertificateError(Exception):
    """Files that make no TLS server; `str()` names the file and what is wrong with it."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """What a TLS listener presents. TLS 1.2 at least (RFC 8996), HTTP/1.1 by ALPN.

    Args:
        cert: PEM file with the certificate and the chain above it.
        key: PEM file with the private key.
        client_ca: PEM file with the authorities that a client's certificate must come from; None asks for none.

    Raises CertificateError.
    """

    def __init__(self, cert: str, key: str, client_ca: str | None = None) -> None:
        self._files = cert, key, client_ca
        self._context = _load(*self._files)

    def reload(self) -> None:
        """Read the files again, for connections from now on. Raises CertificateError and keeps what it had."""
        self._context = _load(*self._files)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def _load(cert: str, key: str, client_ca: str | None) -> SSL.Context:
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
    return context


def _certificates(path: str) -> list[Certificate]:
    text = _read(path)
    blocks = [_BEGIN + part.split(_END)[0] + _END + b"\n" for part in text.split(_BEGIN)[1:]]
    if not blocks:
        raise CertificateError(f"{path} holds no certificate in PEM ({_BEGIN.decode()})")
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except (crypto.Error, ValueError):
        raise CertificateError(f"{path} holds a certificate that cannot be read") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from None
