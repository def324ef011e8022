"""Reading relay.yaml for a command: the configuration, or all its errors and the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from relayd.config.model import Config

REFUSED = 1  # the exit status for a file with errors; wrong options are click's 2


def read(file: str) -> Config:
    """The configuration in this file.

    Raises:
        click.exceptions.Exit: it has errors; they were written to stderr.
    """
    from relayd.config.load import load
    from relayd.core.errors import ConfigErrors

    try:
        return load(file, os.environ)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        click.secho(f"{file} is refused: {counted(len(errors.errors), 'error')}", err=True, fg="red", bold=True)
        raise click.exceptions.Exit(REFUSED) from None


def counted(count: int, noun: str) -> str:
    """`1 route`, `2 routes`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
