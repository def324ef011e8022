"""Files that the configuration names: there, and what they should be."""

from __future__ import annotations

import pytest

from relayd.config.check.files import MAX_FILE_BYTES, check_pem, check_tokens, read_file
from relayd.config.problem import Place, Problem, Source
from relayd.core.auth.tokens import write_line

SOURCE = Source("relay.yaml", {}, {(): Place(1, 1)}, {(): Place(1, 1)})
NOWHERE = [
    ("/none", "/none cannot be read: No such file or directory"),
    ("/", "/ cannot be read: Is a directory"),
    ("a\0b", "a\0b cannot be read: not a path"),
    ("${env.X}", "a placeholder stands only inside an upstream"),
]


class FileTests:
    """Whether it can be read, and holds what its key asks for."""

    @pytest.mark.parametrize(
        ("key", "mark", "name"),
        [
            ("cert", "CERTIFICATE-----", "certificate"),
            ("key", "PRIVATE KEY-----", "private key"),
            ("client_crl", "X509 CRL-----", "revocation list"),
        ],
    )
    def test_content(self, tmp_path, key, mark, name):
        """By the first line of what is meant; what follows is for who reads it."""
        file = str(tmp_path / "a")
        (tmp_path / "a").write_text(f"-----BEGIN {mark}")
        assert list(check_pem(file, ("tls", key), SOURCE)) == []
        (tmp_path / "a").write_text("-----BEGIN OTHER-----")
        [problem] = check_pem(file, ("tls", key), SOURCE)
        assert problem.what == f"{file} holds no {name} in PEM"
        assert problem.expected == f"a file with `-----BEGIN {mark}`"

    def test_none(self):
        """Nothing is asked for."""
        assert list(check_pem(None, ("cert",), SOURCE)) == []

    @pytest.mark.parametrize(("file", "what"), NOWHERE)
    def test_not(self, file, what):
        """The system's reason."""
        assert [problem.what for problem in check_pem(file, ("cert",), SOURCE)] == [what]


class ReadFileTests:
    """What it holds."""

    def test_whole(self, tmp_path):
        """Up to the bound, and never more than that."""
        (tmp_path / "a").write_bytes(b"x" * MAX_FILE_BYTES)
        assert read_file(str(tmp_path / "a"), ("a",), SOURCE) == b"x" * MAX_FILE_BYTES
        found = read_file("/dev/zero", ("a",), SOURCE)
        assert isinstance(found, Problem) and found.what == "/dev/zero is larger than 4 MiB"

    @pytest.mark.parametrize(("file", "what"), NOWHERE)
    def test_not(self, file, what):
        """As above."""
        found = read_file(file, ("a",), SOURCE)
        assert isinstance(found, Problem) and found.what == what


class TokensTests:
    """Lines of `relayd token`."""

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", None),
            (write_line("t", "alice", {}).encode(), None),
            (b"secret", "line 1: expected sha256:HASH NAME {claims}, as `relayd token NAME` prints it"),
            ("ä".encode(), "not ASCII"),
        ],
    )
    def test_lines(self, tmp_path, data, what):
        """What is wrong stands behind the file's name; nothing of the file does."""
        (tmp_path / "a").write_bytes(data)
        found = [problem.what for problem in check_tokens(str(tmp_path / "a"), ("a",), SOURCE)]
        assert found == ([] if what is None else [f"{tmp_path}/a: {what}"])

    def test_not_there(self):
        """The system's reason."""
        assert [problem.what for problem in check_tokens("/none", ("a",), SOURCE)] == [NOWHERE[0][1]]
