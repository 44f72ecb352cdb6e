"""What goes over the wire: requests and answers of the JSON API."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from molmp.errors import InvalidSmilesError
from molmp.explain.explanation import Explanation
from molmp.trust.trusted import COVERAGE

__all__ = [
    "AtomPart", "BondPart", "Column", "ExplainRequest", "Explained", "Failure", "Health", "Neighbour", "Neighbours",
    "NeighboursRequest", "Prediction", "PredictRequest", "Predictions", "Problem", "Running", "Share",
]  # fmt: skip

Number = float | None
SmilesText = Annotated[str | None, Field(description="A SMILES; what cannot be read has an error in the answer.")]


def _text(smiles: str | None) -> str | None:
    """JSON can write down halves of characters, which are no text that could be sent back."""
    return None if smiles is None else smiles.encode("utf-8", "replace").decode()


Echo = Annotated[str | None, AfterValidator(_text)]


Share = Annotated[float, Field(
    gt=0, lt=1, description="Probability with which an interval, or a set of classes, is to hold the truth.",
)]  # fmt: skip


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PredictRequest(_Request):
    """Molecules to predict."""

    smiles: list[SmilesText] = Field(examples=[["CCO", "c1ccccc1"]])
    coverage: Share = COVERAGE


class NeighboursRequest(_Request):
    """A molecule to compare with those of training."""

    smiles: SmilesText = Field(examples=["CCO"])
    count: int = Field(default=3, ge=1, le=20)


class ExplainRequest(_Request):
    """A molecule to explain."""

    smiles: SmilesText = Field(examples=["CCO"])
    target: str | None = Field(default=None, description="By default the first.")
    of_class: str | None = Field(default=None, description="Class whose probability is explained; by default the last.")
    method: Literal["gradients", "occlusion"] = "gradients"


class Problem(BaseModel):
    """Why a request is refused, in a sentence."""

    detail: str


class Failure(BaseModel):
    """Why a molecule has no prediction."""

    code: str = Field(examples=["syntax"])
    reason: str = Field(examples=["ring 1 is not closed"])

    @classmethod
    def of(cls, error: InvalidSmilesError) -> Self:
        return cls(code=error.code, reason=error.reason)


class Column(BaseModel):
    """A value that every prediction has."""

    name: str
    type: Literal["number", "text", "integer", "boolean"]


class Prediction(BaseModel):
    """What became of one molecule: values or error."""

    smiles: Echo
    values: dict[str, float | int | bool | str | None] | None = None
    error: Failure | None = None


class Predictions(BaseModel):
    """One result for each molecule of the request, in order."""

    columns: list[Column]
    results: list[Prediction]
    notes: list[str] = Field(default=[], description="What cannot be told of any molecule, in sentences.")


class Neighbour(BaseModel):
    """A molecule of the training data."""

    name: str = Field(description="What the model calls it: its SMILES, or the number of its row.")
    smiles: str | None
    similarity: float = Field(description="Tanimoto similarity of Morgan fingerprints, 0 to 1.")


class Neighbours(BaseModel):
    """The most similar training molecules, the nearest first, or why there are none."""

    neighbours: list[Neighbour] = []
    error: Failure | None = None


class AtomPart(BaseModel):
    """An atom, counted from 0 as in RDKit."""

    index: int
    symbol: str
    contribution: float


class BondPart(BaseModel):
    """A bond between two atoms."""

    index: int
    atoms: tuple[int, int]
    contribution: float


class Explained(BaseModel):
    """What each atom and bond contributes, or why that is not known."""

    smiles: Echo
    target: str = Field(description="What is explained, with its unit.")
    method: str
    error: Failure | None = None
    prediction: Number = None
    baseline: Number = Field(
        default=None, description="What a molecule without features gets; gradients add up to the rest."
    )
    atoms: list[AtomPart] = []
    bonds: list[BondPart] = []
    svg: str | None = Field(
        default=None, description="A drawing in colours, of molecules that are not too large for one."
    )

    @classmethod
    def of(cls, one: Explanation, svg: str | None) -> Self:
        if one.mol is None or one.error is not None:
            assert one.error is not None
            return cls(smiles=one.smiles, target=one.target, method=one.method, error=Failure.of(one.error))
        atoms = zip(one.mol.GetAtoms(), one.atoms.tolist(), strict=True)
        bonds = zip(one.mol.GetBonds(), one.bonds.tolist(), strict=True)
        return cls(
            smiles=one.smiles, target=one.target, method=one.method, prediction=one.prediction,
            baseline=None if one.baseline != one.baseline else one.baseline, svg=svg,
            atoms=[AtomPart(index=a.GetIdx(), symbol=a.GetSymbol(), contribution=c) for a, c in atoms],
            bonds=[BondPart(index=b.GetIdx(), atoms=(b.GetBeginAtomIdx(), b.GetEndAtomIdx()), contribution=c)
                   for b, c in bonds],
        )  # fmt: skip


class Running(BaseModel):
    """How far a table is."""

    rows: int
    lines: int


class Health(BaseModel):
    """That the server is there."""

    status: Literal["ok"] = "ok"
    version: str
