"""The `relayd` command as a whole."""

import subprocess
import sys

from click.testing import CliRunner

import relayd
from relayd.cli.main import main


class MainTests:
    """What it says of itself."""

    def test_version(self):
        """--version."""
        said = f"relayd, version {relayd.__version__}\n"
        assert CliRunner().invoke(main, ["--version"]).output == said
        as_module = [sys.executable, "-m", "relayd", "--version"]
        assert subprocess.run(as_module, capture_output=True, text=True, check=True).stdout == said

    def test_help_names_every_command(self):
        """And how to run the daemon, which is not one of them."""
        shown = CliRunner().invoke(main, ["-h"]).output
        assert "twistd -n relayd -c relay.yaml" in shown
        for name in main.commands:
            assert f"  {name} " in shown

    def test_starts_without_the_daemons_libraries(self):
        """`relayd --help` answers at once: neither Twisted nor pydantic is loaded for it."""
        program = "import sys, relayd.cli.main; print({'twisted', 'autobahn', 'pydantic', 'yaml'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"
