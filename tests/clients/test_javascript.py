"""relayd.js apart from a browser: its own tests, its size, its types, its package, and how relayd serves it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import relayd
from relayd.core.guard import GuardSettings
from relayd.io.client_script import takes_gzip
from tests.support import require
from tests.support.npm import CLIENT, tool
from tests.support.relay_rig import Relay
from tests.support.wheel import ROOT

SCRIPT = ROOT / "relayd/web/relayd.js"
GZIPPED_BYTES_MAX = 6 * 1024

# What a page author writes, and what the types must refuse: each line after `@ts-expect-error` is an error.
USE = """\
import { connect, topic, type Lost, type Publication } from "relayd";

const relay = connect("/ws", { token: async () => "secret", hiddenHz: 0.5 });
relay.on("state", ({ state, retryMs }) => console.log(state === "waiting" ? retryMs ?? 0 : 0));
const prices = relay.subscribe<{ price: string }>(topic("a", 1), (message) => message.data?.price.length, { maxHz: 5 });
prices.on("lost", (lost: Lost) => lost.count === null || lost.count + 1);
prices.unsubscribe();
export async function read(): Promise<Publication | undefined> {
  for await (const message of relay.subscribe("a/**", { buffer: 10 })) if (message.missed !== null) return message;
}
let position: string | undefined;
relay.publish("a", { b: [1, null] }).then((at) => (position = at));
prices.on("resumed", ({ recovered }) => console.log(recovered ? position : relay.transport));
relay.subscribe("bytes", ({ bytes }) => bytes?.byteLength, { window: 100 });
connect("/ws", { transports: ["websocket", "poll"], credentials: "include" });
relay.authorize("fresh");
relay.close();
// @ts-expect-error
topic({});
// @ts-expect-error
prices.on("stat", () => {});
// @ts-expect-error
relay.subscribe("a", { maxHertz: 5 });
// @ts-expect-error
relay.publish(1, "a");
// @ts-expect-error
connect("/ws", { transports: ["carrier-pigeon"] });
"""


def run(*command: str | Path, cwd: Path = CLIENT, **env: str) -> str:
    """Its output; fails with all of it."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def packed(folder: Path) -> Path:
    """The package as npm would publish it."""
    npm = require.command("npm", "npm")
    run(npm, "pack", "--silent", "--pack-destination", folder)
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package"


@pytest.mark.parametrize(("module", "lives"), [(CLIENT / "src/index.js", 5), (SCRIPT, 4)], ids=["sources", "built"])
def test_behaves(module: Path, lives: int) -> None:
    """`node --test`: time, dice, sockets and requests in hand."""
    node = require.command("node", "nodejs")
    output = run(node, "--test", "tests/", RELAYD_JS=str(module), LIVES=str(lives))
    assert "# fail 0" in output
    assert int(output.split("# pass ")[1].split()[0]) >= 70, output


def test_size() -> None:
    """Under 6 KB as it travels."""
    assert len(gzip.compress(SCRIPT.read_bytes(), 9)) < GZIPPED_BYTES_MAX


def test_is_what_the_sources_make() -> None:
    """Nobody has edited what relayd serves, and nobody has forgotten `make client`."""
    tool("esbuild")
    assert f"of {GZIPPED_BYTES_MAX} allowed" in run(require.command("node", "nodejs"), "build.mjs", "--check")


def test_package(tmp_path: Path) -> None:
    """What npm publishes is what relayd serves, under relayd's version, with its licence; nothing stays behind."""
    package = packed(tmp_path)
    files = {path.name: path.read_bytes() for path in package.iterdir()}
    assert set(files) == {"relayd.js", "relayd.d.ts", "package.json", "README.md", "LICENSE"}
    assert files["relayd.js"] == SCRIPT.read_bytes()
    assert files["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    about = json.loads(files["package.json"])
    assert about["version"] == relayd.__version__
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & set(about)
    assert {about["main"], about["types"], *(name[2:] for name in about["exports"]["."].values())} <= set(files)
    assert about["license"] == "Apache-2.0"
    assert not (CLIENT / "relayd.js").exists()


def test_types(tmp_path: Path) -> None:
    """A page's code compiles against the package, its mistakes do not."""
    compiler = tool("tsc")
    package = packed(tmp_path)
    modules = tmp_path / "node_modules"
    modules.mkdir()
    package.rename(modules / "relayd")
    (tmp_path / "page.ts").write_text(USE, "utf-8")
    options = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"]
    run(compiler, *options, "page.ts", cwd=tmp_path)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"identity", False),
        (b"", False),
    ],
)
def test_takes_gzip(header: bytes, expected: bool) -> None:
    """Accept-Encoding, with weights."""
    assert takes_gzip(header) is expected


class ServedTests(TestCase):
    """GET /relayd.js."""

    async def ask(self, target: str, *headers: str, **kwargs: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request to a relay of its own."""
        relay = Relay(**kwargs)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        browser = await relay.dial()
        lines = [f"GET {target} HTTP/1.1", "Host: relay.example", *headers, "", ""]
        browser.transport.write("\r\n".join(lines).encode())
        await browser.until(lambda: browser.lost)
        first, *lines = browser.head.decode().rstrip().split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), bytes(browser.data)

    async def test_to_every_page(self) -> None:
        """The file, as a script, kept for a while, open to pages of other hosts."""
        status, headers, body = await self.ask("/relayd.js", "Origin: https://elsewhere.example")
        assert (status, body) == (200, SCRIPT.read_bytes())
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert headers["cache-control"] == "public, max-age=300"
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert "content-encoding" not in headers

    async def test_compressed(self) -> None:
        """Where the browser takes it; with an ETag of its own, under 6 KB."""
        status, headers, body = await self.ask("/relayd.js", "Accept-Encoding: gzip, br")
        assert (status, gzip.decompress(body)) == (200, SCRIPT.read_bytes())
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "accept-encoding")
        assert len(body) < GZIPPED_BYTES_MAX
        plain = (await self.ask("/relayd.js"))[1]
        assert plain["etag"] != headers["etag"]

    async def test_not_modified(self) -> None:
        """304 and no body for whoever has it."""
        etag = (await self.ask("/relayd.js"))[1]["etag"]
        status, headers, body = await self.ask("/relayd.js", f"If-None-Match: {etag}")
        assert (status, body) == (304, b"")
        assert headers["cache-control"] == "public, max-age=300"

    async def test_under_the_prefix(self) -> None:
        """Where everything of the listener is."""
        settings = GuardSettings(prefix="/feed")
        assert (await self.ask("/feed/relayd.js", settings=settings))[0] == 200
        assert (await self.ask("/relayd.js", settings=settings))[0] == 404
