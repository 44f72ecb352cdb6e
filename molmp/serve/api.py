"""The JSON API: each route reads, asks the service, answers."""

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from molmp import __version__
from molmp.errors import InvalidSmilesError
from molmp.inference.describe import describe
from molmp.serve.limits import Limits, Seats, TooLargeError
from molmp.serve.messages import (
    Column,
    Explained,
    ExplainRequest,
    Failure,
    Health,
    Neighbour,
    Neighbours,
    NeighboursRequest,
    Prediction,
    Predictions,
    PredictRequest,
    Problem,
    Running,
    Share,
)  # fmt: skip
from molmp.serve.service import Service
from molmp.serve.uploads import Predicted, Uploads, predict_upload, safe_stem
from molmp.trust.trusted import COVERAGE

__all__ = ["TABLE", "House", "router"]

TABLE = "/api/table"
"""Where tables are sent."""

MOST_NOTES = 2_000
"""Characters of notes about a table in a header of the answer."""

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

KINDS: dict[type, Any] = {float: "number", str: "text", int: "integer", bool: "boolean"}


@dataclass(frozen=True)
class House:
    """What all requests share."""

    service: Service
    limits: Limits
    seats: Seats
    uploads: Uploads


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


Here = Annotated[House, Depends(_house)]

router = APIRouter(
    prefix="/api", responses={status: {"model": Problem} for status in (400, 403, 413, 422, 503)}, tags=["model"]
)


@router.get("/health", summary="Is the server there?")
def health() -> Health:
    return Health(version=__version__)


@router.get("/model", summary="What the model is: targets, network, scores, versions")
def model(here: Here) -> dict[str, Any]:
    return describe(here.service.predictor.bundle)


@router.post("/predict", summary="Predict molecules")
def predict(here: Here, body: PredictRequest) -> Predictions:
    """One result for each molecule, in order: values, or an error with a code and a reason."""
    most = here.limits.max_molecules
    if len(body.smiles) > most:
        raise TooLargeError(f"{len(body.smiles):,} molecules are more than the {most:,} of one request; send a table")
    smiles = [text or "" for text in body.smiles]
    with here.seats.take():
        found = here.service.predict(smiles, coverage=body.coverage)
    results = [
        Prediction(smiles=text, error=Failure.of(one)) if isinstance(one, InvalidSmilesError)
        else Prediction(smiles=text, values=one)
        for text, one in zip(body.smiles, found, strict=True)
    ]  # fmt: skip
    told = here.service.columns(body.coverage)
    columns = [Column(name=name, type=KINDS[kind]) for name, kind in told.types.items() if name != "error"]
    return Predictions(columns=columns, results=results, notes=told.notes)


@router.post("/neighbours", summary="The most similar training molecules")
def neighbours(here: Here, body: NeighboursRequest) -> Neighbours:
    """Compared by Morgan fingerprints; only models that keep their training molecules can tell."""
    with here.seats.take():
        found = here.service.neighbours(body.smiles or "", body.count)
    if isinstance(found, InvalidSmilesError):
        return Neighbours(error=Failure.of(found))
    return Neighbours(neighbours=[
        Neighbour(name=name, smiles=None if name.startswith("row ") else name, similarity=similarity)
        for name, similarity in found
    ])  # fmt: skip


@router.post("/explain", summary="What each atom and bond contributes to a prediction")
def explain(here: Here, body: ExplainRequest) -> Explained:
    """Contributions in the unit of the target, and a drawing in their colours."""
    with here.seats.take():
        one = here.service.explain(
            body.smiles or "", target=body.target, of_class=body.of_class, method=body.method
        )  # fmt: skip
        return Explained.of(one, here.service.draw_explanation(one))


@router.get("/drawing", summary="A molecule as SVG", response_class=Response)
def drawing(here: Here, smiles: Annotated[str, Query(max_length=4_000)]) -> Response:
    with here.seats.take():
        svg = here.service.draw(smiles)
    headers = {"content-security-policy": PICTURE_POLICY, "cache-control": "private, max-age=3600"}
    return Response(svg, media_type="image/svg+xml", headers=headers)


@router.post("/table", summary="Predict a table: CSV in, CSV out", response_class=FileResponse)
async def table(
    request: Request, here: Here, file: UploadFile, job: Annotated[str, Form(max_length=100)] = "",
    coverage: Annotated[Share, Form()] = COVERAGE,
) -> Response:  # fmt: skip
    """Give back the table with the columns that molmp predict adds, to the byte as it writes them.

    The table may be delimited text, SMI or SDF, compressed or not. Notes about it stand, as JSON, in the header
    Molmp-Notes. A name of your choice as job can be asked for at /api/progress while this is under way.
    """
    folder = tempfile.TemporaryDirectory(prefix="molmp-serve-")
    try:
        with here.uploads.begin(job) as progress:
            work = asyncio.ensure_future(run_in_threadpool(
                predict_upload, here.service.predictor, file.file, file.filename or "", Path(folder.name), here.limits,
                progress, coverage,
            ))  # fmt: skip
            try:
                while not (await asyncio.wait([work], timeout=0.5))[0]:
                    if await request.is_disconnected():
                        progress.stopped.set()
                done = work.result()
            finally:
                progress.stopped.set()
                await asyncio.wait([work])  # it may still be writing
    except BaseException:
        folder.cleanup()
        raise
    return _sent(done, safe_stem(file.filename or ""), BackgroundTask(folder.cleanup))


@router.get("/progress", summary="How far a table is")
def progress(here: Here, job: Annotated[str, Query(max_length=100)]) -> Running | None:
    """Rows predicted so far; null where no table of this name is under way."""
    found = here.uploads[job]
    return None if found is None else Running(rows=found.rows, lines=found.lines)


def _sent(done: Predicted, stem: str, after: BackgroundTask) -> FileResponse:
    notes = json.dumps([*done.notes, str(done.outcome)])
    headers = {"Molmp-Notes": notes if len(notes) <= MOST_NOTES else json.dumps([str(done.outcome)])}
    return FileResponse(
        done.path, media_type="text/csv", filename=f"{stem}_predicted.csv", headers=headers, background=after
    )
