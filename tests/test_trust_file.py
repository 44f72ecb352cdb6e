"""What a model's file says of trust: damaged or made up, it is refused in a sentence and nothing else happens."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from tiny import tiny_bundle, with_trust

from molmp.errors import FileFormatError, MolmpError
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.inference.predictor import Predictor

DOMAIN = "domain.safetensors"


@pytest.fixture(params=["regression", "binary"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save_bundle(with_trust(tiny_bundle(request.param), rows=8), tmp_path / "run")
    return tmp_path / "run"


def refused(folder: Path) -> str:
    with pytest.raises(FileFormatError) as caught:
        load_bundle(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def write_domain(folder: Path, raw: bytes) -> None:
    """Another domain, with a hash that agrees."""
    (folder / DOMAIN).write_bytes(raw)
    document = json.loads((folder / "model.json").read_text())
    document["domain_sha256"] = hashlib.sha256(raw).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))


def parts(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    raw = (folder / DOMAIN).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return dict(load(raw)), json.loads(header["__metadata__"]["molmp"])


def test_a_missing_domain(folder):
    (folder / DOMAIN).unlink()
    assert refused(folder).endswith(f"is not a molmp model: it has no {DOMAIN}")


def test_bits_that_flipped_and_ends_that_are_gone(folder):
    raw = (folder / DOMAIN).read_bytes()
    for place in random.Random(0).sample(range(len(raw)), 20):
        damaged = bytearray(raw)
        damaged[place] ^= 1
        (folder / DOMAIN).write_bytes(damaged)
        assert "its content does not match the hash in model.json" in refused(folder)
    for length in (0, 7, 100, len(raw) - 1):
        write_domain(folder, raw[:length])
        assert f"{DOMAIN} is no domain of molmp, or it is damaged" in refused(folder)


def test_every_bit_of_the_header(folder):
    raw, rng = (folder / DOMAIN).read_bytes(), random.Random(0)
    for place in range(0, 8 + int.from_bytes(raw[:8], "little"), 41):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.randrange(8)
        write_domain(folder, bytes(damaged))
        attempt(folder)


CHANGES = {
    "bits of another width": {"bits": np.zeros((8, 100), np.uint8)},
    "bits of one dimension": {"bits": np.zeros(8, np.uint8)},
    "bits that are numbers": {"bits": np.zeros((8, 256), np.float32)},
    "fewer bits": {"bits": np.zeros((7, 256), np.uint8)},
    "no molecules": {"bits": np.zeros((0, 256), np.uint8), "name_lengths": np.zeros(0, np.int32)},
    "names that end before they begin": {"name_lengths": np.full(8, -1, np.int32)},
    "names longer than their text": {"name_lengths": np.full(8, 2**30, np.int32)},
    "names that are no text": {"names": np.full(30, 255, np.uint8)},
    "points that are not finite": {"points": np.full((8, 24), np.nan, np.float32)},
    "a scale of zero": {"scale": np.zeros(24, np.float32)},
    "labels of fewer molecules": {"labels": np.zeros((7, 2), np.float32)},
    "labels without a molecule": {"labels": np.zeros((), np.float32)},
    "labels of no target": {"labels": np.zeros(8, np.float32)},
    "labels of three dimensions": {"labels": np.zeros((8, 2, 1), np.float32)},
    "labels of more targets": {"labels": np.zeros((8, 3), np.float32)},
    "labels without end": {"labels": np.full((8, 2), np.inf, np.float32)},
    "ranges of another length": {"low": np.zeros(3, np.int64)},
}


@pytest.mark.parametrize("what", CHANGES)
def test_arrays_of_another_kind(folder, what):
    arrays, facts = parts(folder)
    write_domain(folder, save(arrays | CHANGES[what], metadata={"molmp": json.dumps(facts)}))
    attempt(folder)
    if what != "names that are no text":
        refused(folder)


FACTS = [{"format": "other"}, {"least": "x"}, {"most": None}, {"columns": {}}, {"options": 3}]


@pytest.mark.parametrize("change", FACTS)
def test_facts_of_another_kind(folder, change):
    arrays, facts = parts(folder)
    write_domain(folder, save(arrays, metadata={"molmp": json.dumps(facts | change)}))
    assert "is no domain of molmp, or it is damaged" in refused(folder)


def test_fingerprints_of_another_network(folder):
    arrays, facts = parts(folder)
    shapes = {"points": (4, 5), "center": (5,), "scale": (5,)}
    narrow = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    write_domain(folder, save(arrays | narrow, metadata={"molmp": json.dumps(facts)}))
    assert "has learned fingerprints of width 5" in refused(folder)


def test_every_entry_of_trust_replaced(folder):
    document = json.loads((folder / "model.json").read_text())
    outcomes = []
    for place in places(document["trust"]):
        for value in (None, True, -1, 10**30, float("nan"), "x", [], {}, [[[]]]):
            changed = json.loads(json.dumps(document))
            target = changed["trust"]
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = value
            (folder / "model.json").write_text(json.dumps(changed))
            outcomes.append(attempt(folder))
    assert np.mean(outcomes) > 0.6


def test_the_command_line_says_it(folder, molmp):
    (folder / DOMAIN).write_bytes(b"x")
    result = molmp("predict", "--model", folder, "--smiles", "C")
    assert result.exit_code == 1
    assert f"{DOMAIN} is damaged" in result.stderr
    assert "Traceback" not in result.stderr


def attempt(folder: Path) -> bool:
    """Load and predict; whether one of them refused, which is the only other outcome."""
    try:
        Predictor(load_bundle(folder), "cpu").predict(["CCO"])
    except MolmpError:
        return True
    return False


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in a document; of a list its ends."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))
