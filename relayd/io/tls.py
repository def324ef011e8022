"""Whom an upstream must be: TLS towards feeds, with a reason that people can act on when a certificate is refused.

Twisted's own context says "certificate verify failed" for an expired, a self-signed and an unknown one alike. The judge
here keeps what OpenSSL found first, checks the name by service-identity, and lets nothing pass that Twisted's refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, TLSVersion, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from relayd.io.certificates import end_of

#: What OpenSSL's verify errors (x509_vfy.h) mean for whoever runs the relay.
REASONS = {
    9: "the certificate is not valid yet; is a clock wrong?",
    10: "the certificate has expired",
    18: "the certificate is self-signed; name it as connect.tls.ca if it is yours",
    19: "the certificate's authority is not trusted; name it as connect.tls.ca if it is yours",
    20: "the certificate's authority is not known; name it as connect.tls.ca if it is yours",
    21: "the certificate's chain is incomplete, or its authority is not known",
    23: "the certificate has been revoked",
    24: "a certificate of the chain is no authority",
    26: "the certificate is not meant for a server",
}


class TrustUnreadable(Exception):
    """The file of `connect.tls.ca` cannot be used; the text says why."""


def trust_root(ca: str | None) -> Any:
    """The authorities of the system, or those of a PEM file. Raises TrustUnreadable."""
    if ca is None:
        return platformTrust()
    try:
        pem = Path(ca).read_bytes()
    except OSError as error:
        raise TrustUnreadable(f"connect.tls.ca: {ca}: {error.strerror}") from None
    try:
        certificates = load_pem_x509_certificates(pem)
    except ValueError:
        raise TrustUnreadable(f"connect.tls.ca: {ca} holds no certificate in PEM form") from None
    return trustRootFromCertificates(
        [Certificate(crypto.X509.from_cryptography(certificate)) for certificate in certificates]
    )


@implementer(IOpenSSLClientConnectionCreator)
class UpstreamTls:
    """The TLS of one dial, to one host. `refusal` says why its certificate was refused, or is empty; `ends_at` when the
    first certificate of its chain ends, in wall seconds, once it was accepted."""

    def __init__(self, host: str, trust: Any) -> None:
        """`host`: a name or an address, without brackets. Raises ValueError where it can be neither."""
        self.ends_at: float | None = None
        self._chain_ends_at = inf
        self._options = optionsForClientTLS(
            host, trustRoot=trust, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
        )
        self._host = host
        self._expected: ServiceID = (
            IPAddress_ID(host) if isIPAddress(host) or isIPv6Address(host) else DNS_ID(_ascii(host))
        )
        self.refusal = ""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge())
        return connection

    def _judge(self) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
        def judge(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
            # An exception in here would be swallowed by the C code as a success of ours.
            try:
                if not ok:
                    self.refusal = self.refusal or REASONS.get(error, f"the certificate is refused (error {error})")
                    return False
                self._chain_ends_at = min(self._chain_ends_at, end_of(certificate))
                if depth == 0:
                    verify_service_identity(extract_patterns(certificate), [self._expected], [])
                    self.ends_at = self._chain_ends_at
                return True
            except VerificationError:
                self.refusal = f"the certificate is not for {self._host}"
            except Exception:
                self.refusal = "the certificate cannot be read"
            return False

        return judge


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode("ascii")
