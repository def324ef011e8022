"""A listener's certificate: read, refused with the file's name, read anew."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from relayd.io.certificates import CertificateError, ServerTls
from tests.support import certs


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A good certificate with its chain, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"a comment\n" + certs.good().pem + certs.authority().pem)
    key.write_bytes(certs.good().key_pem)
    return cert, key


def handshake(server: ServerTls, client: SSL.Context) -> SSL.Connection:
    """Shake hands in memory; the client's end is returned."""
    ends = [SSL.Connection(client, None), server.serverConnectionForTLS(None)]
    ends[1].set_app_data(SimpleNamespace(factory=SimpleNamespace(wrappedFactory=None)))  # as Twisted's TLS does
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    done: set[int] = set()
    for _ in range(20):
        for index, end in enumerate(ends):
            with suppress(SSL.WantReadError):
                end.do_handshake()
                done.add(index)
            with suppress(SSL.WantReadError):
                ends[1 - index].bio_write(end.bio_read(1 << 16))
    assert len(done) == 2
    return ends[0]


def client_context(*, most: int = SSL.TLS1_3_VERSION) -> SSL.Context:
    """A client that looks at nothing."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(most)
    context.set_alpn_protos([b"h2", b"http/1.1"])
    return context


class ServerTlsTests:
    """What a listener presents."""

    def test_presents_the_chain(self, files: tuple[Path, Path]) -> None:
        """Certificate and what stands above it, TLS 1.3, HTTP/1.1."""
        client = handshake(ServerTls(*map(str, files)), client_context())
        chain = client.get_peer_cert_chain(as_cryptography=True)
        assert chain == [certs.good().certificate, certs.authority().certificate]
        assert client.get_protocol_version_name() == "TLSv1.3"
        assert client.get_alpn_proto_negotiated() == b"http/1.1"

    def test_old_tls(self, files: tuple[Path, Path]) -> None:
        """TLS 1.2 still, TLS 1.1 not (RFC 8996)."""
        server = ServerTls(*map(str, files))
        assert handshake(server, client_context(most=SSL.TLS1_2_VERSION)).get_protocol_version_name() == "TLSv1.2"
        with pytest.raises(SSL.Error):
            handshake(server, client_context(most=SSL.TLS1_1_VERSION))

    def test_client_certificates(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        """With `client_ca` a client without a certificate of it is refused."""
        authority = tmp_path / "ca.pem"
        authority.write_bytes(certs.authority().pem)
        server = ServerTls(*map(str, files), str(authority))
        client = client_context(most=SSL.TLS1_2_VERSION)
        with pytest.raises(SSL.Error):
            handshake(server, client)

    def test_reload(self, files: tuple[Path, Path]) -> None:
        """A new certificate counts from the next connection; a bad one changes nothing."""
        server = ServerTls(*map(str, files))
        files[0].write_bytes(certs.wrong_host().pem)
        files[1].write_bytes(certs.wrong_host().key_pem)
        server.reload()
        assert handshake(server, client_context()).get_peer_certificate(as_cryptography=True) == (
            certs.wrong_host().certificate
        )
        files[1].write_bytes(b"")
        with pytest.raises(CertificateError, match="holds no private key"):
            server.reload()
        assert handshake(server, client_context()).get_peer_certificate(as_cryptography=True) == (
            certs.wrong_host().certificate
        )


class CertificateErrorTests:
    """Files that are no good."""

    def test_missing(self, files: tuple[Path, Path]) -> None:
        """The file and the system's reason."""
        with pytest.raises(CertificateError, match=r"/none\.pem cannot be read: No such file or directory"):
            ServerTls(str(files[0].parent / "none.pem"), str(files[1]))

    def test_no_certificate(self, files: tuple[Path, Path]) -> None:
        """The key where the certificate should be is the usual mistake."""
        with pytest.raises(CertificateError, match=r"key\.pem holds no certificate in PEM \(-----BEGIN CERTIFICATE"):
            ServerTls(str(files[1]), str(files[0]))

    def test_broken_certificate(self, files: tuple[Path, Path]) -> None:
        """Cut short."""
        files[0].write_bytes(certs.good().pem[:200])
        with pytest.raises(CertificateError, match=r"cert\.pem holds a certificate that cannot be read"):
            ServerTls(*map(str, files))

    def test_encrypted_key(self, files: tuple[Path, Path]) -> None:
        """Nobody is there to type the passphrase, and nobody is asked."""
        files[1].write_bytes(
            certs.good().key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        with pytest.raises(CertificateError, match=r"key\.pem holds no private key in PEM without a passphrase"):
            ServerTls(*map(str, files))

    def test_key_of_another_certificate(self, files: tuple[Path, Path]) -> None:
        """Both files are named."""
        files[1].write_bytes(certs.wrong_host().key_pem)
        with pytest.raises(CertificateError, match=r"key\.pem does not belong to the first certificate in .*cert\.pem"):
            ServerTls(*map(str, files))
