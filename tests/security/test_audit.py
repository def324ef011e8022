"""What `make audit` makes of pip-audit's report."""

from __future__ import annotations

import pytest

from tests.security import audit
from tests.security.audit import Findings, ServiceMissing, read

CLEAN = {"name": "twisted", "version": "26.10.0", "vulns": []}
BAD = {
    "name": "pyjwt",
    "version": "1.0",
    "vulns": [{"id": "CVE-2026-1", "fix_versions": ["2.15"]}, {"id": "X", "fix_versions": []}],
}
SKIPPED = {"name": "attrs", "skip_reason": "Dependency not found on PyPI"}
OWN = {"name": "relayd", "skip_reason": "Dependency not found on PyPI"}


def run(*packages: object, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...] = ()) -> int:
    """The exit status for a report."""

    def ask() -> Findings:
        return read({"dependencies": list(packages)})

    monkeypatch.setattr(audit, "ask", ask)
    monkeypatch.setenv("CI", "true")
    return audit.main(*options)


class ReadTests:
    """Three kinds of packages."""

    def test_each(self) -> None:
        """Clean, vulnerable, unknown; relayd itself is none of them."""
        found = read({"dependencies": [CLEAN, BAD, SKIPPED, OWN]})
        assert found == Findings(
            2, ["pyjwt 1.0: CVE-2026-1 (fixed in 2.15)", "pyjwt 1.0: X (fixed in no version yet)"], ["attrs"]
        )


class StatusTests:
    """What fails."""

    def test_clean(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Everything was asked about."""
        assert run(CLEAN, OWN, monkeypatch=monkeypatch) == 0
        assert capsys.readouterr().out == "1 packages, 0 known vulnerabilities, 0 unknown\n"

    def test_a_miss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A vulnerability, and a package that nobody knows."""
        assert run(CLEAN, BAD, monkeypatch=monkeypatch) == 1
        assert run(CLEAN, SKIPPED, monkeypatch=monkeypatch) == 1

    @pytest.mark.parametrize(("options", "status"), [((), 0), (("--must",), 1)])
    def test_nobody_to_ask(
        self,
        options: tuple[str, ...],
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Never taken for clean: it is skipped, and a failure for who must know."""
        assert run(SKIPPED, OWN, monkeypatch=monkeypatch, options=options) == status
        assert capsys.readouterr().out.startswith("SKIPPED audit: nobody could be asked about any of 1 packages")

    def test_a_program_that_fails(self) -> None:
        """Its last line is the reason."""
        with pytest.raises(ServiceMissing, match="no such service"):
            audit._run("sh", "-c", "echo no such service >&2; exit 1")
