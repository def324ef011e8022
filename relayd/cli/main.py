"""The `relayd` command: what is done beside running the daemon (for that: `twistd relayd -c relay.yaml`).

Each command imports what it needs when it is called, so that `relayd --help` answers at once.
"""

from __future__ import annotations

import click

from relayd import __version__
from relayd.cli.check import check
from relayd.cli.client_test import client_test
from relayd.cli.config import config, schema
from relayd.cli.demo import demo
from relayd.cli.init import init
from relayd.cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relayd")
def main() -> None:
    """Bridges upstream feeds to many browsers, as relay.yaml says.

    The daemon itself runs under twistd: twistd -n relayd -c relay.yaml
    """


for command in (demo, init, check, config, schema, token, client_test):
    main.add_command(command)
