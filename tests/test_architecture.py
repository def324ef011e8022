"""The shape of the house: who may import whom, how long a module may be, and that each decision has its own tests."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "relayd"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 399

# core/ decides from what it is given. It may compute; it may not look at a clock, roll dice, or touch the world.
CORE_STDLIB = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "codecs", "collections", "contextlib", "copy",
    "dataclasses", "datetime", "enum", "fnmatch", "functools", "gzip", "hashlib", "heapq", "hmac", "html", "ipaddress",
    "itertools", "json", "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata", "urllib.parse",
    "zlib", "zoneinfo",
}  # fmt: skip
CORE_LIBRARIES = {"msgspec", "jwt"}
CONFIG_STDLIB = CORE_STDLIB | {
    "difflib", "importlib.resources", "inspect", "io", "os", "pathlib", "stat", "sys", "textwrap",
}  # fmt: skip
CONFIG_LIBRARIES = {"msgspec", "pydantic", "pydantic_core", "yaml", "annotated_types"}
IO_LIBRARIES = {"twisted", "autobahn", "zope", "txaio", "OpenSSL", "service_identity", "cryptography", "treq",
                "prometheus_client", "hyperlink"}  # fmt: skip
COMMAND_LIBRARIES = {"click", "rich"}

# room -> rooms of relayd it may import
MAY_IMPORT = {
    "core": {"core"},
    "config": {"core", "config"},
    "io": {"core", "config.model", "io"},
    "demo": {"core", "config", "io", "app", "demo"},
    "app": {"core", "config", "io", "app"},
    "tap": {"core.errors", "config", "io", "app"},
    "clienttest": {"core", "clienttest"},
    "cli": {"core", "config", "io.logs", "app", "demo", "clienttest", "cli"},
}
LIBRARIES = {
    "core": CORE_LIBRARIES,
    "config": CONFIG_LIBRARIES,
    "io": IO_LIBRARIES,
    "demo": IO_LIBRARIES | {"msgspec"},
    "app": IO_LIBRARIES,
    "tap": {"twisted"},
    "clienttest": {"twisted", "autobahn"},
    "cli": COMMAND_LIBRARIES | {"twisted"},
}
# Tests of what the modules of a room do together.
WHOLE_ROOMS = {"tests/core/feed/test_scripts.py"}
# Comments that silence a checker, and how they are written. A whole file's `ruff: noqa` stands below its reason.
MARK = re.compile(r"# *(type: *ignore|noqa|pragma: no cover)", re.IGNORECASE)
REASONED = re.compile(r"# (type: ignore\[[a-z, -]+\]|noqa: [A-Z]+[0-9]+)  # \S.*")
# These bring the reactor in, inside a function; everybody else is handed it.
BRINGS_THE_REACTOR = {"relayd.tap", "relayd.cli", "relayd.demo.exchange", "relayd.demo.service"}


class Import(NamedTuple):
    """One import: from which module, of what, where, and whether it runs when the importing module is imported."""

    target: str
    whole: str
    line: int
    at_top: bool


@cache
def marks() -> list[tuple[str, str]]:
    """Where checkers are silenced, in all Python of the project, and by which comment."""
    found = []
    for room in ("relayd", "tests", "bench", "tools", "examples", "clients/python/src", "clients/python/tests"):
        for path in sorted((ROOT / room).rglob("*.py")):
            place = path.relative_to(ROOT)
            if not place.is_relative_to("bench/build") and MARK.search(path.read_text("utf-8")):
                with tokenize.open(path) as file:
                    for token in tokenize.generate_tokens(file.readline):
                        if token.type == tokenize.COMMENT and MARK.match(token.string):
                            found.append((f"{place}:{token.start[0]}", token.string))
    return found


def name_of(path: Path) -> str:
    """`relayd/core/ring.py` is `relayd.core.ring`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module: the first name after relayd, or the package itself."""
    return module.split(".")[1] if "." in module else ""


NAMES = {name_of(path): path for path in MODULES}


@cache
def tree_of(path: Path) -> ast.Module:
    """The module, parsed."""
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of the module; `from a import b` is a.b where that is a module of ours, else a."""

    def walk(node: ast.AST, at_top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, alias.name, child.lineno, at_top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: a relative import; write the whole name"
                assert child.module is not None
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield Import(whole if whole in NAMES else child.module, whole, child.lineno, at_top)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, at_top and not inside and not is_for_types(child))

    return tuple(walk(tree_of(path), True))


def is_for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def within(target: str, allowed: set[str]) -> bool:
    """Whether the dotted name is one of these, or below one."""
    return any(target == name or target.startswith(f"{name}.") for name in allowed)


def modules(*rooms: str) -> list[Path]:
    """The modules of these rooms."""
    return [path for name, path in NAMES.items() if room_of(name) in rooms]


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """A test for each module, named after it."""
    return pytest.mark.parametrize("path", paths, ids=name_of)


class ImportTests:
    """core decides, io translates, config reads the file, app puts them together."""

    def test_rooms_are_known(self):
        """A new room needs a rule here first."""
        assert {room_of(name) for name in NAMES} <= {*MAY_IMPORT, "", "__main__", "presets", "web"}

    @each([path for name, path in NAMES.items() if room_of(name) in MAY_IMPORT])
    def test_direction(self, path):
        """Each room imports only the rooms below it."""
        allowed = {f"relayd.{room}" for room in MAY_IMPORT[room_of(name_of(path))]} | {"relayd.__init__"}
        wrong = [
            f"{path.relative_to(ROOT)}:{found.line} imports {found.target}"
            for found in imports_of(path)
            if found.target.startswith("relayd.") and not within(found.target, allowed)
        ]
        assert not wrong

    @each([path for name, path in NAMES.items() if room_of(name) in MAY_IMPORT])
    def test_libraries(self, path):
        """Each room uses only the libraries that belong there; core and config also little of the standard library."""
        room = room_of(name_of(path))
        stdlib = {"core": CORE_STDLIB, "config": CONFIG_STDLIB}.get(room, set(sys.stdlib_module_names))
        wrong = [
            f"{path.relative_to(ROOT)}:{found.line} imports {found.target}"
            for found in imports_of(path)
            if not within(found.target, LIBRARIES[room] | stdlib | {"relayd"})
        ]
        assert not wrong

    def test_no_cycles(self):
        """What a module imports when it is imported never leads back to it."""
        edges = {
            name: {i.target for i in imports_of(path) if i.at_top and i.target in NAMES} - {name}
            for name, path in NAMES.items()
        }
        done: set[str] = set()

        def visit(name: str, way: tuple[str, ...]) -> None:
            assert name not in way, " -> ".join([*way[way.index(name) :], name])
            if name not in done:
                for target in sorted(edges[name]):
                    visit(target, (*way, name))
                done.add(name)

        for name in edges:
            visit(name, ())

    @each(MODULES)
    def test_reactor(self, path):
        """It is brought in inside a function of the few modules that begin a program, and handed to all others."""
        for found in imports_of(path):
            if found.whole == "twisted.internet.reactor":
                place = f"{path.relative_to(ROOT)}:{found.line} imports the reactor"
                assert within(name_of(path), BRINGS_THE_REACTOR), place
                assert not found.at_top, f"{place} when it is imported"

    def test_plugin_imports_nothing_of_relayd(self):
        """`twistd --help` must not load relayd."""
        targets = {i.target for i in imports_of(ROOT / "twisted/plugins/relayd_plugin.py")}
        assert targets == {"twisted.application.service"}

    def test_no_package_marker_in_twisted(self):
        """An __init__.py there would hide Twisted itself, or its plugins."""
        assert [str(path.relative_to(ROOT)) for path in (ROOT / "twisted").rglob("*.py")] == [
            "twisted/plugins/relayd_plugin.py"
        ]


class PureCoreTests:
    """core has no clock, no dice, no log and no world: they come in through constructors."""

    # What a pure module of the standard library also offers.
    IMPURE_CALLS = (
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now", "open", "print",
        "input", "exec", "eval", "__import__", "breakpoint",
    )  # fmt: skip

    @each(modules("core"))
    def test_no_impure_call(self, path):
        """Not by the back door either."""
        wrong = [
            f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in self.IMPURE_CALLS
        ]
        assert not wrong


class StyleTests:
    """Habits that a linter does not know."""

    @each(MODULES)
    def test_length(self, path):
        """A module that grows beyond this holds two ideas."""
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= MAX_LINES, f"{path.relative_to(ROOT)} has {lines} lines"

    @each(MODULES)
    def test_says_what_it_is(self, path):
        """Each module begins with what it is for."""
        text = path.read_text("utf-8")
        assert not text.strip() or ast.get_docstring(tree_of(path)), f"{path.relative_to(ROOT)} has no docstring"

    @each(MODULES)
    def test_lifecycle_is_async(self, path):
        """`async def` and Deferred.fromCoroutine; inlineCallbacks never."""
        assert "inlineCallbacks" not in path.read_text("utf-8")

    @each(MODULES)
    def test_log_formats_are_literals(self, path):
        """twisted.logger calls what stands in the braces of a format, so a peer's bytes must never be part of one."""
        levels = {"debug", "info", "warn", "error", "critical", "failure"}
        wrong = [
            f"{path.relative_to(ROOT)}:{node.lineno} builds the format of a log line"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in levels
            and ast.unparse(node.func.value).lower().endswith("log")
            and node.args
            and not (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str))
        ]
        assert not wrong


class MarkTests:
    """What tells a checker to look away says what at and why, and stands where that checker looks at all."""

    def test_has_a_reason(self):
        """`# noqa: B027  # most need nothing`. No code is left out of the coverage."""
        bare = [place for place, comment in marks() if not REASONED.fullmatch(comment)]
        assert not bare, f"without a reason: {', '.join(bare)}"

    def test_of_types(self):
        """mypy reads the package and the client for Python; elsewhere nothing would ever say that a mark is stale."""
        checked = ("relayd/", "clients/python/src/")
        idle = [place for place, comment in marks() if "type:" in comment and not place.startswith(checked)]
        assert not idle, f"nobody checks types there: {', '.join(idle)}"


class MirrorTests:
    """relayd/core/ring.py is tested by tests/core/test_ring.py."""

    @each([path for path in modules("core", "config") if path.name != "__init__.py"])
    def test_has_its_own_tests(self, path):
        """Each module that decides has a test file at the same place."""
        place = path.relative_to(PACKAGE)
        mirrored = ROOT / "tests" / place.parent / f"test_{place.name}"
        assert mirrored.exists(), f"{mirrored.relative_to(ROOT)} is missing"

    def test_no_orphans(self):
        """Each test file there has its module; `test_hub_model.py` may look at `hub.py` in another way."""

        def has_module(path: Path) -> bool:
            words = path.stem.removeprefix("test_").split("_")
            folder = PACKAGE / path.parent.relative_to(ROOT / "tests")
            return any((folder / f"{'_'.join(words[:n])}.py").exists() for n in range(1, len(words) + 1))

        tests = [path for room in ("core", "config") for path in (ROOT / "tests" / room).rglob("test_*.py")]
        orphans = {str(path.relative_to(ROOT)) for path in tests if not has_module(path)}
        assert orphans <= WHOLE_ROOMS
