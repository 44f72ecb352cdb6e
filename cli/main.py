"""The entry point: a group that loads a command's module only when that command runs."""

import atexit
import gc
import importlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import click

from molmp import __version__
from molmp.errors import MolmpError

__all__ = ["main"]

ASK_AGAIN = 5.0
"""Seconds that a command has to clean up after a signal before it is told once more."""

NO_MEMORY = "out of memory; a smaller network or --batch-size, fewer --n-jobs or parts of the file need less"

COMMANDS = {
    "check": "Audit a table of molecules before training on it.",
    "data": "List the public data sets that people train on, and fetch them.",
    "diagnose": "Measure the limits of a message passing network.",
    "explain": "Show what each atom and bond contributes to predictions.",
    "export": "Write a trained model as an ONNX file.",
    "featurize": "Turn a file of SMILES into graphs, fingerprints or descriptors.",
    "info": "Print what a trained model is.",
    "predict": "Predict properties of the molecules in a file.",
    "report": "Write a page about a trained model.",
    "serve": "Open a trained model as a local web page and JSON API.",
    "train": "Train a model on a CSV of molecules.",
    "tune": "Search for options that train a better model.",
}


class LazyGroup(click.Group):
    """Lists commands without importing them: `molmp --help` loads neither torch nor scikit-learn."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"molmp_cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and turn users' mistakes into one line on stderr and an exit code."""
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # so that temporary files are removed on the way out
                signum = getattr(signal, name, None)
                if signum is not None and (name != "SIGHUP" or signal.getsignal(signum) != signal.SIG_IGN):  # nohup
                    signal.signal(signum, _end)
        _spare_the_collector()
        try:
            sys.exit(super().main(*args, **kwargs | {"standalone_mode": False}))
        except click.Abort:
            _stop("interrupted", 130)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except MolmpError as error:
            _stop(str(error), error.exit_code)
        except BrokenPipeError:  # whoever reads our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except MemoryError:
            _stop(NO_MEMORY, 1)
        except RuntimeError as error:
            if "allocate memory" not in str(error):  # as torch says it
                raise
            _stop(NO_MEMORY, 1)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _stop(f"{where}{error.strerror or error}", 1)


def _spare_the_collector() -> None:
    """What was imported stays: to look through it for garbage at the exit takes a third of a second of processor time
    where torch is among it."""
    atexit.register(gc.freeze)


def _stop(message: str, exit_code: int) -> NoReturn:
    click.echo(f"molmp: {message}", err=True)
    sys.exit(exit_code)


def _end(signum: int, frame: object) -> NoReturn:
    """End the command; ask again after a while, since Python drops what is raised inside a destructor or a callback."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: _end(signum, None))
        signal.setitimer(signal.ITIMER_REAL, ASK_AGAIN)
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # it would end a slow exit with a code of its own
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + signum)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, package_name="molmp")
def main() -> None:
    """Predict properties of molecules with message passing networks."""
