"""A search for molecules that keep RDKit busy: the slowest texts of each length are mutated, and the slowest kept.

``make slowest`` prints for each length the slowest found, and the seconds of processor time that it took. From this
come the lengths that molmp trusts its own process with.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from awkward import MOLECULES
from fuzz import FAMILIES

from molmp.chem.clock import timed
from molmp.chem.options import GraphOptions
from molmp.chem.pool import Lost, WorkerPool
from molmp.chem.reader import read_chunk
from molmp.page.drawing import draw_here

LIMIT = 20.0
"""Seconds after which a text counts as hanging."""

POPULATION = 24


def ladder(rungs: int, atom: str = "C") -> str:
    """Rings fused in a row, closed to a belt."""
    first = "".join(f"{atom}%({100 + i})" for i in range(rungs))
    second = "".join(f"{atom}%({100 + i})" for i in range(rungs))
    return f"{atom}%(90)%(91){first}.{atom}%(90){second}{atom}%(91)"


def complete(atoms: int, atom: str = "[U]") -> str:
    """Every atom bound to every other."""
    text, number, waiting = "", 10, dict[tuple[int, int], int]()
    for i in range(atoms):
        text += atom
        for j in range(i):
            text += f"%({waiting[j, i]})"
        for j in range(i + 1, atoms):
            waiting[i, j] = number
            text += f"%({number})"
            number += 1
    return text


def grid(width: int, height: int, atom: str = "c") -> str:
    """A sheet of squares: as many small rings as a text of this length can hold."""
    text = ""
    for row in range(height):
        for column in range(width):
            text += atom
            if row:
                text += f"%({100 + (row - 1) * width + column})"
            if row + 1 < height:
                text += f"%({100 + row * width + column})"
        text += "."
    return text.rstrip(".")


def star(arms: int, centre: str = "[U]", arm: str = "C") -> str:
    """One atom with many neighbours."""
    return centre + f"({arm})" * (arms - 1) + arm


SHAPES: list[Callable[[int], str]] = [
    *FAMILIES, ladder, lambda n: ladder(n, "c"), complete, lambda n: complete(n, "*"), lambda n: grid(n, n),
    lambda n: grid(n, 3, "C"), lambda n: grid(n, n, "C"), star, lambda n: star(n, "*", "*"),
    lambda n: star(n, "[U]", "[C@H](F)O"), lambda n: star(n, "[U]", "c1ccccc1"), lambda n: "C12C3C4C1C5C2C3C45" * n,
    lambda n: "[C@]12(F)[C@@](O)(C1)[C@H]2" * n + "C", lambda n: "c1ccc2c(c1)c1ccccc1c1ccccc21." * n + "C",
    lambda n: "[C@@H]1(O)[C@H](O)" * n + "C1", lambda n: "C1=C" + "C=C" * n + "1",
    lambda n: "N1=N" + "c2c3c(c4c2cc4)c3" * n + "1", lambda n: "[H]" * n, lambda n: "[H]O" + "([H])" * n,
    lambda n: "O=P(O)(O)" + "OP(=O)(O)" * n + "O", lambda n: "C(C)(C)" * n + "C", lambda n: "F/C=C/" + "C=C/" * n + "F",
    lambda n: "n1nnnn1" * n, lambda n: "C%99" + "C(=O)N" * n + "C%99",
]  # fmt: skip


def sized(shape: Callable[[int], str], characters: int) -> str:
    """The largest of a shape that has so many characters at most."""
    best, low, high = shape(1), 1, characters + 1
    while low < high:
        middle = (low + high) // 2
        text = shape(middle)
        if len(text) <= characters:
            best, low = text, middle + 1
        else:
            high = middle
    return best[:characters] if len(best) > characters else best


def mutated(text: str, rng: random.Random, characters: int) -> str:
    """Another text, often a molecule still."""
    place, other = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    match rng.randrange(8):
        case 0:
            text = text[:place] + text[place:other] * rng.choice((2, 3)) + text[other:]
        case 1:  # another ring
            number = f"%({rng.randrange(500, 999)})"
            text = text[:place] + number + text[place:other] + number + text[other:]
        case 2:
            old, new = rng.sample(["C", "N", "c", "[U]", "*", "[C@H]", "[C@@]", "n", "S", "P", "B", "[Si]", "[As]"], 2)
            text = text.replace(old, new, rng.choice((1, 5, -1)))
        case 3:
            text = text[:place] + rng.choice(MOLECULES) + text[place:]
        case 4:
            text = (
                text[:place]
                + rng.choice(["(C)", "(=C)", "=", "/", "\\", "(c1ccccc1)", "[C@]", "(*)", "."])
                + text[place:]
            )
        case 5:
            text = text[:place] + text[other:]
        case 6:
            text = text[:place] + sized(rng.choice(SHAPES), max(other - place, 8)) + text[other:]
        case _:
            text = text[:place] + text[place + 1 :]
    return text[:characters]


def reading(texts: Sequence[str], options: Any) -> float:
    """Seconds of processor time of the one text, as a worker reads it."""
    started = time.process_time()
    read_chunk(texts, options)
    return time.process_time() - started


def drawing(texts: Sequence[str], options: Any) -> float:
    """Seconds of processor time of the one text, as a worker draws it."""
    started = time.process_time()
    for _, text in timed(texts):
        draw_here(text)
    return time.process_time() - started


def search(
    characters: int, seconds: float, features: str, seed: int, pool: WorkerPool, draw: bool
) -> list[tuple[float, str, str]]:
    """The slowest texts, with their seconds and what became of them."""
    import slowest  # this file by its name, under which the worker finds it

    work = slowest.drawing if draw else slowest.reading
    rng = random.Random(f"{characters} {features} {seed}")
    options = GraphOptions(features=features, time_limit=LIMIT)
    best: dict[str, tuple[float, str]] = {}

    def measure(texts: list[str]) -> None:
        for text, (answer,) in zip(texts, pool.map(work, [[text] for text in texts], options, LIMIT), strict=True):
            best[text] = (LIMIT, answer.code) if isinstance(answer, Lost) else (answer, "")
        for text in sorted(best, key=best.__getitem__)[:-POPULATION]:
            del best[text]

    measure([text for text in {sized(shape, characters) for shape in SHAPES} if text])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        parents = rng.choices(list(best), k=POPULATION)
        measure([text for parent in parents if (text := mutated(parent, rng, characters)) and text not in best])
    return sorted(((took, code, text) for text, (took, code) in best.items()), reverse=True)


def main() -> None:
    """Search at each length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, nargs="+", default=[100, 200, 300, 500, 1000])
    parser.add_argument("--seconds", type=float, default=90, help="for each length")
    parser.add_argument("--features", default="none", help="as of molmp train")
    parser.add_argument("--draw", action="store_true", help="what is slow to draw, not to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3)
    asked = parser.parse_args()
    what = "drawn" if asked.draw else f"features {asked.features}"
    with WorkerPool(1) as pool:
        for characters in asked.characters:
            found = search(characters, asked.seconds, asked.features, asked.seed, pool, asked.draw)
            for took, code, text in found[: asked.show]:
                print(f"{characters:5} characters, {what}: {took:6.2f} s {code} {text}", flush=True)


if __name__ == "__main__":
    main()
