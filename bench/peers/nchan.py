"""nchan: a module of nginx, both from Debian."""

from __future__ import annotations

from pathlib import Path

from bench import build
from bench.peers.base import Options, Peer, Place, Start, said

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

CONFIG = """\
load_module {module};
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 19900; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  nchan_shared_memory_size 512m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber websocket;
      nchan_websocket_ping_interval 25s;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
  server {{
    listen 127.0.0.1:{publish_port};
    location ~ ^/pub/(.+)$ {{
      nchan_publisher http;
      nchan_channel_id $1;
      nchan_message_buffer_length 5000;
      nchan_message_timeout 1m;
    }}
  }}
}}
"""


class Nchan(Peer):
    """One worker; the history relayd is given, too."""

    name = "nchan"
    topics = True  # one a connection

    def prepare(self) -> None:
        if not MODULE.exists():
            raise build.BuildFailed(f"{MODULE} is missing: apt-get install libnginx-mod-nchan")

    def version(self) -> str:
        package = said("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan")
        return f"{package}, {said('nginx', '-v').rpartition(' ')[2]}"

    def start(self, place: Place) -> Start:
        config = place.folder / "nginx.conf"
        config.write_text(
            CONFIG.format(module=MODULE, folder=place.folder, port=place.port, publish_port=place.publish_port)
        )
        return Start(["nginx", "-p", str(place.folder), "-c", str(config), "-e", str(place.folder / "error.log")])

    def load_options(self, place: Place) -> Options:
        return {"path": "/sub/{topic}"}

    def publish_options(self, place: Place) -> Options:
        return {"dialect": "http", "port": place.publish_port, "path": "/pub/{topic}", "depth": 32}
