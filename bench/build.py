"""Makes what the benchmark runs, in bench/build/: the C programs, the peers' virtualenv and modules, Centrifugo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"
VENV_PYTHON = BUILD / "peers" / "bin" / "python"
NODE_MODULES = BUILD / "node" / "node_modules"
CENTRIFUGO = BUILD / "bin" / "centrifugo"

# Where the Go module proxy does not serve it, the peer is SKIPPED with what `go` said.
CENTRIFUGO_MODULE = "github.com/centrifugal/centrifugo/v6@latest"
INSTALL_WITHIN_S = 1800  # Centrifugo takes some minutes to compile on two cores

CFLAGS = ("-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror")
PROGRAMS = {
    "load": (
        "load/load.c",
        "load/client.c",
        "load/websocket.c",
        "load/sequence.c",
        "load/histogram.c",
        "load/tick.c",
        "load/common.c",
    ),
    "publish": ("load/publish.c", "load/websocket.c", "load/tick.c", "load/common.c"),
    "floor": ("peers/floor.c", "load/websocket.c", "load/tick.c", "load/common.c"),
}
CLOCKSTEP = BUILD / "clockstep.so"


class BuildFailed(Exception):
    """Something could not be built or installed; the text is what the tool said."""


def _run(argv: list[str], **more: object) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{argv[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BuildFailed(f"{' '.join(argv[:3])}: {said[-600:]}")


def _older(target: Path, sources: list[Path]) -> bool:
    return not target.exists() or any(source.stat().st_mtime > target.stat().st_mtime for source in sources)


def programs() -> None:
    """Compile the C programs whose sources or headers are newer. BuildFailed with the compiler's words."""
    BUILD.mkdir(exist_ok=True)
    headers = sorted((HERE / "load").glob("*.h"))
    for name, files in PROGRAMS.items():
        _compile(BUILD / name, [HERE / file for file in files], headers)
    _compile(CLOCKSTEP, [HERE / "load" / "clockstep.c"], [], "-shared", "-fPIC")


def _compile(target: Path, sources: list[Path], headers: list[Path], *flags: str) -> None:
    if not _older(target, [*sources, *headers]):
        return
    new = target.with_name(f"{target.name}.{os.getpid()}")  # renamed when whole: two runs may build at once
    _run([os.environ.get("CC", "cc"), *CFLAGS, *flags, "-o", str(new), *map(str, sources), "-ldl"])
    new.replace(target)


def peers_venv() -> None:
    """The Python peers at the versions of peers/requirements.txt, in a virtualenv of their own."""
    wanted = HERE / "peers" / "requirements.txt"
    done = BUILD / "peers" / ".installed"
    if done.exists() and done.read_text() == wanted.read_text():
        return
    _run([sys.executable, "-m", "venv", str(BUILD / "peers")])
    _run([str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
    done.write_text(wanted.read_text())


def node_modules() -> None:
    """`ws` at the version of peers/package.json."""
    wanted = HERE / "peers" / "package.json"
    place = BUILD / "node"
    if (place / "package.json").exists() and (place / "package.json").read_text() == wanted.read_text():
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "wanted.json").write_text(wanted.read_text())
    shutil.copy(wanted, place / "package.json.new")
    os.replace(place / "package.json.new", place / "package.json")
    try:
        _run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(place)])
    except BuildFailed:
        (place / "package.json").unlink()
        raise


def centrifugo() -> None:
    """Centrifugo from its Go module."""
    if not CENTRIFUGO.exists():
        _run(
            ["go", "install", CENTRIFUGO_MODULE],
            env={**os.environ, "GOBIN": str(CENTRIFUGO.parent), "GOFLAGS": "-buildvcs=false"},
        )
