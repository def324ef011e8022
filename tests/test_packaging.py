"""relayd as it ships: what the wheel holds, what it needs, and that the pages about it tell the truth."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import relayd
from relayd.config.load import loads
from tests.support import require
from tests.support.wheel import ROOT, sources, wheel

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


# Of this repository, or of a virtualenv of its own (tests/conformance: the suite is from 2017).
OURS = {"autobahntestsuite", "bench", "relayd", "relayd_client", "session_rig", "tally", "tests", "tools"}
PAGES = sorted(page.relative_to(ROOT) for pattern in ("*.md", "docs/**/*.md") for page in ROOT.glob(pattern))


def requirements(text: str) -> dict[str, str]:
    """Distribution name in lower case -> floor."""
    found = re.findall(r"^([A-Za-z0-9-]+)(?:\[.*?\])? *(?:>= *(\S+))?$", text, re.MULTILINE)
    return {name.lower(): floor for name, floor in found}


NEEDED = requirements(SETUP["options"]["install_requires"])
FOR_TESTS = requirements(SETUP["options.extras_require"]["test"])


def imported_by(folder: Path) -> set[str]:
    """The distributions outside of the standard library that the modules of a folder import."""
    known = packages_distributions()
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    outside = names - set(sys.stdlib_module_names) - OURS
    found = {distribution for name in outside for distribution in known.get(name, [name])}
    # relayd's wheel has a file in `twisted` too.
    return {distribution.lower().replace("_", "-").replace(".", "-") for distribution in found} - {"relayd"}


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel()) as archive:
        return set(archive.namelist())


class WheelTests:
    """What `pip install relayd` brings."""

    def test_holds_every_file(self, names):
        """Modules, the demo page, presets, the starter: whatever stands in relayd/ is shipped."""
        missing = {
            str(path.relative_to(ROOT))
            for path in sources()
            if path.is_relative_to(ROOT / "relayd") and str(path.relative_to(ROOT)) not in names
        }
        assert not missing

    def test_plugin_without_package_markers(self, names):
        """One file in Twisted's folder, and nothing that would overwrite Twisted's own."""
        assert {name for name in names if name.startswith("twisted/")} == {"twisted/plugins/relayd_plugin.py"}

    def test_nothing_else(self, names):
        """No tests, no tools, no caches."""
        roots = {name.split("/")[0] for name in names}
        assert roots == {"relayd", "twisted", f"relayd-{relayd.__version__}.dist-info"}
        assert not [name for name in names if "__pycache__" in name]

    def test_licence(self, names):
        """The licence goes where the code goes."""
        assert f"relayd-{relayd.__version__}.dist-info/licenses/LICENSE" in names


class RequirementTests:
    """What relayd says it needs is what it imports."""

    def test_every_import_is_declared(self):
        """Nothing works by luck, because something else brought it along."""
        # By Twisted and pydantic, for good. (All of zope's distributions share one name to import.)
        brought = {"zope-interface", "zope-event", "zope-schema", "pydantic-core"}
        assert imported_by(ROOT / "relayd") - brought <= set(NEEDED)
        assert imported_by(ROOT / "tests") - brought <= set(NEEDED) | set(FOR_TESTS)

    def test_every_requirement_is_imported(self):
        """What is not used any more is not asked for."""
        for_tls = {"service-identity"}  # Twisted imports it where TLS is dialled
        assert set(NEEDED) - for_tls <= imported_by(ROOT / "relayd")

    def test_floors(self):
        """Each has one."""
        assert all(NEEDED.values()), NEEDED

    def test_page_about_them(self):
        """docs/libraries.md has a row for each, and none for others."""
        rows = re.findall(r"^\| ([a-z0-9, -]+) \|", (ROOT / "docs/libraries.md").read_text("utf-8"), re.MULTILINE)
        named = {name for row in rows for name in row.split(", ")} - {"library"}
        assert named == set(NEEDED) | set(FOR_TESTS)


class PageTests:
    """What people read first is true."""

    def test_readme_configuration_is_good(self):
        """The file in README.md is a file that relayd takes."""
        (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
        assert set(loads(text, "README.md", {}).upstreams) == {"coinbase"}

    def test_readme_configuration_is_the_starter(self):
        """`relayd init` writes what README.md says it does."""
        starter = (ROOT / "relayd/cli/starter.yaml").read_text("utf-8")
        assert starter.partition("\n")[2] in (ROOT / "README.md").read_text("utf-8")

    @pytest.mark.parametrize("page", PAGES, ids=str)
    def test_links_lead_somewhere(self, page):
        """Each link within the repository has its file."""
        text = (ROOT / page).read_text("utf-8")
        targets = [t for t in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in t]
        assert not [target for target in targets if not (ROOT / page.parent / target).exists()]

    def test_every_page_is_listed(self):
        """docs/README.md leads to each."""
        index = (ROOT / "docs/README.md").read_text("utf-8")
        pages = [page.relative_to("docs") for page in PAGES if page.parts[0] == "docs" and page.name != "README.md"]
        assert not [str(page) for page in pages if f"]({page})" not in index]

    def test_changelog_names_the_version(self):
        """A release has its entry."""
        text = (ROOT / "CHANGELOG.md").read_text("utf-8")
        assert re.search(rf"^## {re.escape(relayd.__version__)}\b", text, re.MULTILINE)


class UnitTests:
    """systemd/relayd.service."""

    def test_is_hardened(self):
        """systemd's own rating stays at OK: at most 1.5 of 10."""
        analyze = require.command("systemd-analyze", "systemd")
        unit = ROOT / "systemd/relayd.service"
        done = subprocess.run(
            [analyze, "security", "--offline=true", "--threshold=15", unit], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
