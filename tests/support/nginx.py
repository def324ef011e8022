"""Debian's nginx as a proxy before relayd, in a folder of its own, on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import require
from tests.support.ports import free_port
from tests.support.process import Program

# As an administrator writes it who knows of no stream and no WebSocket: the path says what passes.
SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{target};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
    }}
    {blocked}
  }}
"""
BLOCKED = "location {path} {{ return 403; }}"
CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {servers}
}}
"""


@contextmanager
def proxies(folder: Path, target: int, *blocked: Sequence[str]) -> Iterator[list[int]]:
    """Ports that lead to `target`, one for each list of paths that are answered 403 there."""
    command = require.command("nginx", "nginx-light")
    ports = [free_port() for _ in blocked]
    servers = [
        SERVER.format(port=port, target=target, blocked=" ".join(BLOCKED.format(path=path) for path in paths))
        for port, paths in zip(ports, blocked, strict=True)
    ]
    file = folder / "nginx.conf"
    file.write_text(CONFIG.format(folder=folder, servers="".join(servers)), "utf-8")
    with Program([command, "-c", file, "-e", "stderr"], folder):
        yield ports
