"""The command ``hsi-app``: finds a command, runs it, and turns whatever happens into one line and an exit code."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from hsi_app.errors import Cancelled, HsiError
from hsi_app.versions import versions

# Command name to module; each module is imported when its command is asked for (or listed by --help).
_COMMANDS = {
    "demo": "hsi_app.cli.demo",
    "info": "hsi_app.cli.info",
    "view": "hsi_app.cli.view",
    "convert": "hsi_app.cli.convert",
    "degrade": "hsi_app.cli.degrade",
    "restore": "hsi_app.cli.restore",
    "batch": "hsi_app.cli.batch",
    "unmix": "hsi_app.cli.unmix",
    "fuse": "hsi_app.cli.fuse",
    "score": "hsi_app.cli.score",
    "qa": "hsi_app.cli.qa",
    "methods": "hsi_app.cli.methods",
    "cite": "hsi_app.cli.methods:cite",
    "models": "hsi_app.cli.models",
    "doctor": "hsi_app.cli.doctor",
    "completion": "hsi_app.cli.completion",
}

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong call, 3 some items failed, 4 unreadable input,
5 does not fit by plan, 6 weights missing, 130 interrupted.

\b
Tab completion: eval "$(hsi-app completion bash)"   (or zsh, fish)
First steps:    hsi-app demo; hsi-app info scene.hdr; hsi-app restore auto scene.hdr better.hdr"""


class Application(click.Group):
    """The group of all commands; loads them when used and answers every failure in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name or cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C outside a job is an orderly stop too."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled("stopped on request; nothing was written.") from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse and run; exit with the documented code."""
        given = list(sys.argv[1:] if args is None else args)
        given, with_traceback = _take_traceback(given)
        try:
            outcome = super().main(
                given, prog_name or "hsi-app", complete_var, standalone_mode=False,
                windows_expand_args=windows_expand_args, **extra,
            )  # fmt: skip
            code = outcome if isinstance(outcome, int) else 0
        # The last resort of the program: whatever was not foreseen is still one line, with a way to see more.
        except Exception as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                # Someone who types the bare name asks what there is; that is no mistake to report.
                click.echo(error.ctx.get_help() if error.ctx else error.format_message())
                code = 0
            else:
                if with_traceback and not isinstance(error, click.ClickException):
                    traceback.print_exc()
                code, line = _explain(error)
                click.echo(line, err=True)
        if standalone_mode:
            sys.exit(code)
        return code


def _take_traceback(args: list[str]) -> tuple[list[str], bool]:
    """Accept --traceback anywhere: a failed call is repeated by adding it at the end."""
    end = args.index("--") if "--" in args else len(args)
    if "--traceback" not in args[:end]:
        return args, False
    return [a for i, a in enumerate(args) if i >= end or a != "--traceback"], True


def _explain(error: Exception) -> tuple[int, str]:
    """Exit code and the one line a user sees."""
    if isinstance(error, HsiError):
        words, code = str(error), error.exit_code
        return code, f"{'stopped' if code == 130 else 'error'}: {' '.join(words.split())}"
    if isinstance(error, click.Abort):
        return 130, "stopped: interrupted."
    if isinstance(error, click.UsageError):
        where = f" See '{error.ctx.command_path} --help'." if error.ctx is not None else ""
        return error.exit_code, f"error: {' '.join(error.format_message().split())}{where}"
    if isinstance(error, click.ClickException):
        return error.exit_code, f"error: {' '.join(error.format_message().split())}"
    if isinstance(error, MemoryError):
        return 1, "error: memory ran out; give a smaller --memory budget or --tile, or crop the scene."
    words = " ".join(str(error).split())
    return 1, f"error: unexpected {type(error).__name__}: {words}; run again with --traceback to see where."


@click.group(
    cls=Application,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(versions().get("hsi-app", "unknown"), prog_name="hsi-app")
@click.option("--traceback", is_flag=True, expose_value=False, help="Show where an error arose; allowed anywhere.")
def cli() -> None:
    """Restore, sharpen and unmix hyperspectral images, and see what was taken away and what is not explained."""


def main() -> None:
    """Entry point of the console script."""
    # A batch system ends a run with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli.main()
