"""A trained model as a web application: a page for people, JSON for programs.

>>> from molmp import load, make_app
>>> app = make_app(load("run"))  # doctest: +SKIP
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from molmp import __version__
from molmp.errors import DeviceError, EngineError, MolmpError
from molmp.inference.predictor import Predictor
from molmp.serve.api import TABLE, House, router
from molmp.serve.guard import LOOPBACK, Guard
from molmp.serve.limits import BusyError, Limits, Seats, StoppedError, TooLargeError
from molmp.serve.pages import index_page, interface_page, shared_files
from molmp.serve.service import Service
from molmp.serve.uploads import Uploads

__all__ = ["make_app"]

STATUS: dict[type[MolmpError], int] = {TooLargeError: 413, BusyError: 503, EngineError: 503, DeviceError: 503}
"""Of answers to requests that end in these errors; all other errors of a user's make are 422."""

NO_TELEMETRY: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI would send it where the environment says so."""


def make_app(
    predictor: Predictor, *, name: str = "", limits: Limits = Limits(), n_jobs: int = 2,
    hosts: Collection[str] | None = LOOPBACK,
) -> FastAPI:  # fmt: skip
    """Make an application that answers for a model; any ASGI server runs it, and other applications can mount it.

    Parameters
    ----------
    predictor
        The model, see :func:`molmp.load`.
    name
        What the page calls it.
    limits
        What is refused.
    n_jobs
        Worker processes that read molecules; two, so that a molecule that takes long does not keep the others waiting.
    hosts
        Names under which the server may be asked, here those of the machine for itself; ``None``: any.
    """
    service = Service(predictor, n_jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="molmp", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        description="Predictions of a trained model.", telemetry=NO_TELEMETRY,
    )  # fmt: skip
    app.state.house = House(service, limits, Seats(limits.max_waiting, "requests"), Uploads(limits))
    app.include_router(router)
    _add_pages(app, predictor, name, limits)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MolmpError, _refused)
    app.add_exception_handler(StoppedError, _stopped)
    app.add_middleware(Guard, limits=limits, hosts=hosts, uploads=TABLE)
    return app


def _add_pages(app: FastAPI, predictor: Predictor, name: str, limits: Limits) -> None:
    index = index_page(predictor.bundle, name, limits)
    shared = shared_files()

    @app.get("/", include_in_schema=False)
    def home() -> HTMLResponse:
        return HTMLResponse(index)

    @app.get("/docs", include_in_schema=False)
    def interface() -> HTMLResponse:
        return HTMLResponse(interface_page(app.openapi()))

    @app.get("/static/shared/{name}", include_in_schema=False)
    def common(name: str) -> Response:
        if name not in shared:
            raise HTTPException(404)
        kind, text = shared[name]
        return Response(text, media_type=kind)

    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return _problem(422, f"{where}: {first['msg']}" if where else first["msg"])


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, MolmpError)
    return _problem(STATUS.get(type(error), 422), str(error))


def _stopped(request: Request, error: Exception) -> Response:
    return _problem(503, "the request was given up")


def _problem(status: int, sentence: str) -> Response:
    safe = sentence.encode("utf-8", "replace").decode()  # bytes that are no text, from the names of a table's columns
    return JSONResponse({"detail": safe}, status)
