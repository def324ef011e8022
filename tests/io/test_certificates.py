"""A listener's certificate: read, refused with the file's name, read anew."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from relayd.io.certificates import CertificateError, ServerTls, peer_of
from tests.support import certs

REVOKED = certs.client("revoked")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A good certificate with its chain, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"a comment\n" + certs.good().pem + certs.authority().pem)
    key.write_bytes(certs.good().key_pem)
    return cert, key


def handshake(server: ServerTls, client: SSL.Context) -> SSL.Connection:
    """Shake hands in memory; the client's end is returned."""
    return both_ends(server, client)[0]


def both_ends(server: ServerTls, client: SSL.Context) -> list[SSL.Connection]:
    """Shake hands in memory; the client's and the server's end are returned."""
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
    return ends


def client_context(*, most: int = SSL.TLS1_3_VERSION, shows: certs.Certificate | None = None) -> SSL.Context:
    """A client that looks at nothing, and shows this certificate."""
    context = SSL.Context(SSL.TLS_METHOD)
    if shows is not None:
        context.use_certificate(shows.certificate)
        context.use_privatekey(shows.key)
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

    def test_when_it_ends(self, files: tuple[Path, Path]) -> None:
        """The first of the chain counts."""
        ends = min(certs.good().certificate.not_valid_after_utc, certs.authority().certificate.not_valid_after_utc)
        assert ServerTls(*map(str, files)).ends_at == ends.timestamp()

    def test_changed_files(self, files: tuple[Path, Path]) -> None:
        """Any of them, also one that is gone; not when it was read."""
        server = ServerTls(*map(str, files))
        assert not server.has_changed
        files[0].write_bytes(certs.wrong_host().pem)
        assert server.has_changed
        with pytest.raises(CertificateError):
            server.reload()
        assert server.has_changed
        files[1].write_bytes(certs.wrong_host().key_pem)
        server.reload()
        assert not server.has_changed
        files[1].unlink()
        assert server.has_changed

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


class ClientTests:
    """Whom a client's certificate names, and which are refused in the handshake."""

    @pytest.fixture
    def server(self, files: tuple[Path, Path], tmp_path: Path) -> ServerTls:
        """It asks for certificates of the tests' authority, less one that was revoked."""
        (tmp_path / "ca.pem").write_bytes(certs.authority().pem)
        (tmp_path / "crl.pem").write_bytes(certs.revoke(REVOKED))
        return ServerTls(*map(str, files), str(tmp_path / "ca.pem"), str(tmp_path / "crl.pem"))

    @pytest.mark.parametrize("most", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_good(self, server: ServerTls, most: int) -> None:
        """Common name, unit and every other name, with its end."""
        shown = certs.client("press-7", unit="Hall 3", hosts=("p7.example", "192.0.2.7"))
        _, end = both_ends(server, client_context(most=most, shows=shown))
        who = peer_of(SimpleNamespace(getPeerCertificate=end.get_peer_certificate))
        assert who is not None
        assert (who.subject, who.expires_at) == ("press-7", shown.certificate.not_valid_after_utc.timestamp())
        certificate = who.claims["certificate"]
        assert isinstance(certificate, dict)
        assert (certificate["ou"], certificate["dns"], certificate["ip"]) == (["Hall 3"], ["p7.example"], ["192.0.2.7"])

    def test_refused(self, server: ServerTls) -> None:
        """Each for its reason, and by the handshake: nothing of relayd has heard of the client then."""
        for shown in (
            None,
            certs.client("late", begins=-3 * certs.DAY, ends=-certs.DAY),
            certs.client("early", begins=certs.DAY, ends=3 * certs.DAY),
            certs.client("unknown", issuer=certs.stranger()),
            certs.client("below", issuer=certs.client("no authority")),
            certs.make("self", hosts=("a",)),
            certs.good(),  # is meant for a server
            REVOKED,
        ):
            with pytest.raises(SSL.Error):
                handshake(server, client_context(most=SSL.TLS1_2_VERSION, shows=shown))

    def test_revocations_that_are_old(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        """What may have been revoked since is not let in."""
        (tmp_path / "ca.pem").write_bytes(certs.authority().pem)
        (tmp_path / "crl.pem").write_bytes(certs.revoke(ends=-certs.DAY))
        server = ServerTls(*map(str, files), str(tmp_path / "ca.pem"), str(tmp_path / "crl.pem"))
        with pytest.raises(SSL.Error):
            handshake(server, client_context(most=SSL.TLS1_2_VERSION, shows=certs.client("press-7")))

    def test_nobody(self, files: tuple[Path, Path]) -> None:
        """Without TLS, and without a certificate."""
        assert peer_of(object()) is None
        _, end = both_ends(ServerTls(*map(str, files)), client_context())
        assert peer_of(SimpleNamespace(getPeerCertificate=end.get_peer_certificate)) is None

    def test_unreadable(self) -> None:
        """A certificate that its authority signed in a form that nobody reads names nobody."""

        def read() -> None:
            raise ValueError

        shown = SimpleNamespace(to_cryptography=read)
        assert peer_of(SimpleNamespace(getPeerCertificate=lambda: shown)) is None


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

    def test_revocations(self, files: tuple[Path, Path], tmp_path: Path) -> None:
        """None, and one that was cut short."""
        (tmp_path / "ca.pem").write_bytes(certs.authority().pem)
        for text, why in (
            (certs.authority().pem, "holds no revocation list in PEM"),
            (certs.revoke()[:200], "holds a revocation list that cannot be read"),
        ):
            (tmp_path / "crl.pem").write_bytes(text)
            with pytest.raises(CertificateError, match=why):
                ServerTls(*map(str, files), str(tmp_path / "ca.pem"), str(tmp_path / "crl.pem"))

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
