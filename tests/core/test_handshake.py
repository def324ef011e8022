"""The head between the guard and the frames, and its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.handshake import Opening, answer, read_clean, write_clean

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0189.!#$%&'*+^_`|~-", min_size=1, max_size=12)
HEAD = write_clean("/ws?topics=a", "relay.example:8080", KEY, ["relayd.v1"], ["permessage-deflate"])


class CleanHeadTests:
    """What the guard writes is what is read, and nothing else is."""

    @given(
        st.text("abcxyz/.%-~;=&", max_size=20),
        st.none() | st.text("abcxyz/?.%-~;=&|{", max_size=20),
        st.lists(TOKEN, max_size=3, unique=True),
        st.lists(TOKEN.map(lambda name: f'permessage-deflate; {name}="12"'), max_size=2),
    )
    def test_read_is_the_inverse_of_write(
        self, path: str, query: str | None, protocols: list[str], deflate: list[str]
    ) -> None:
        """Path, query, key and subprotocols come back as they were."""
        target = f"/{path}" if query is None else f"/{path}?{query}"
        head = write_clean(target, "[::1]:8080", KEY, protocols, deflate)
        assert read_clean(head) == Opening(f"/{path}", query or "", KEY, tuple(protocols))

    @pytest.mark.parametrize(
        ("there", "instead"),
        [
            (b"GET", b"POST"),
            (b"/ws?", b"ws?"),
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"Host: relay.example:8080\r\n", b""),
            (b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
            (b"Key: ", b"Key: A"),
            (b"Version: 13", b"Version: 8"),
            (b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nCookie: a=b\r\n"),
            (b"permessage-deflate", b"<script>"),
            (b"relay.example", b"relay.ex\xe4mple/ \xff"),
            (b"\r\n\r\n", b"\r\n\r\nmore"),
        ],
    )
    def test_any_other_form_is_none_of_the_guards(self, there: bytes, instead: bytes) -> None:
        """Whatever differs from what is written."""
        assert read_clean(HEAD) is not None
        assert read_clean(HEAD.replace(there, instead, 1)) is None


class AnswerTests:
    """The 101."""

    def test_the_example_of_the_rfc(self) -> None:
        """RFC 6455 1.3, without a subprotocol and with one."""
        plain = answer(KEY, None)
        assert plain == (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        chosen = answer(KEY, "relayd.v1")
        assert chosen.replace(b"Sec-WebSocket-Protocol: relayd.v1\r\n", b"") == plain != chosen
