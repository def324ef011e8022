"""`python -m relayd` is `relayd`."""

from relayd.cli.main import main

main(prog_name="relayd")
