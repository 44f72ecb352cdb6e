"""Run an application on a port of this machine, until it is told to stop."""

import importlib
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

from molmp.errors import MissingExtraError, MolmpError

__all__ = ["PortError", "address", "check_extra", "run_server"]

GRACE = 20
"""Seconds that requests under way have when the server is told to stop: time for one batch of molecules."""

MOST_CONNECTIONS = 200


class PortError(MolmpError, OSError):
    """A port that cannot be had."""


def check_extra() -> None:
    """Raise :class:`MissingExtraError` where a package of the extra ``serve`` is not installed."""
    for module, package in (("fastapi", "fastapi"), ("uvicorn", "uvicorn"), ("python_multipart", "python-multipart")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise MissingExtraError(package, "serve", "molmp serve") from None


def open_socket(host: str, port: int) -> socket.socket:
    """Listen at a port; 0 takes one that is free.

    Raises :class:`PortError` where another program has it, or there is no such host.
    """
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PortError(f"cannot listen at {host} port {port}: {reason}; choose another with --port") from error


def address(bound: socket.socket) -> str:
    """URL of a server that listens there.

    >>> with socket.create_server(("127.0.0.1", 0)) as bound:
    ...     address(bound)
    'http://127.0.0.1:.../'
    """
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run_server(app: Any, host: str, port: int, started: Callable[[str], None] = lambda url: None) -> None:
    """Serve what :func:`molmp.serve.app.make_app` made until SIGINT or SIGTERM; their handlers are called at the end.

    ``started`` is told the URL. Raises :class:`PortError`.
    """
    import uvicorn

    with open_socket(host, port) as bound:
        server = uvicorn.Server(uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, ws="none",
            limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=GRACE,
        ))  # fmt: skip
        end = server.handle_exit

        def handle_exit(signum: int, frame: FrameType | None) -> None:
            app.state.house.service.stop()
            end(signum, frame)

        begin = server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await begin(sockets=sockets)
            started(address(bound))  # not before signals reach the server

        server.handle_exit = handle_exit  # type: ignore[assignment]
        server.startup = startup  # type: ignore[method-assign]
        server.run(sockets=[bound])
