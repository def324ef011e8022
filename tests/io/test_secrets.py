"""Tests of relayd.io.secrets."""

from __future__ import annotations

from pathlib import Path

from relayd.config import model
from relayd.core.bridge import Need
from relayd.io.secrets import MOST_BYTES, browser_needs, read_secrets, secret_names


class NamesTests:
    """Which secrets a block speaks of."""

    def test_everywhere_in_a_block(self) -> None:
        """In URLs, headers, login messages and keys, with and without a default, each once."""
        block = model.Upstream.model_validate(
            {
                "connect": {
                    "url": "wss://x/${env.PLACE:-here}",
                    "headers": {"Authorization": "Bearer ${file./run/key}"},
                },
                "login": [{"send": {"key": ["${env.KEY}", "${env.KEY}"], "${env.NAME}": 1}}],
                "topic": {"at": {"symbol": "s"}},
            }
        )
        assert secret_names(block) == ("env.PLACE", "file./run/key", "env.KEY", "env.NAME")


class ReadTests:
    """Their values, as they are now."""

    def test_environment_and_files(self, tmp_path: Path) -> None:
        """A file's last line break is not part of the secret."""
        key = tmp_path / "key"
        key.write_text("s3cret\n")
        names = ["env.A", "env.B", f"file.{key}", f"file.{tmp_path}/none", "browser.token"]
        assert read_secrets(names, {"A": "a", "C": "c"}) == {"env.A": "a", f"file.{key}": "s3cret"}
        key.write_text("renewed\r\n")
        assert read_secrets(names, {})[f"file.{key}"] == "renewed"

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        """Too long, no UTF-8, a folder: as if they were not there."""
        long, binary = tmp_path / "long", tmp_path / "binary"
        long.write_text("x" * (MOST_BYTES + 1))
        binary.write_bytes(b"\xff\xfe")
        assert read_secrets([f"file.{long}", f"file.{binary}", f"file.{tmp_path}"], {}) == {}


class BrowserNeedsTests:
    """`${browser.X}` of a block."""

    def test_names(self) -> None:
        """Each once; required where one of its places has no default."""
        headers = {"A": "${browser.token:-x} ${browser.claims.a.b:-}", "B": "${browser.token}", "C": "${env.K}"}
        block = model.Upstream.model_validate({"connect": {"url": "wss://h/${browser.query.q}", "headers": headers}})
        assert browser_needs(block) == (
            Need("browser.query.q"), Need("browser.token"), Need("browser.claims.a.b", is_required=False),
        )  # fmt: skip
