"""Seeded nonsense: strings for the reader of molecules, and mutated files for the reader of tables.

``make fuzz`` runs a million of the one and a hundred thousand of the other; a part is named by its seed and number, so
that a run can be stopped, and goes on with ``--start``. ``tests/test_fuzz.py`` runs a few.
"""

import argparse
import bz2
import csv
import gzip
import io
import lzma
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from awkward import MOLECULES

from molmp.chem.options import GraphOptions
from molmp.chem.pool import WorkerPool
from molmp.chem.reasons import REASONS
from molmp.errors import MolmpError
from molmp.tables.read import open_table
from molmp.tables.rows import Layout
from molmp.tables.write import open_writer

PART = 1000
"""Strings of a part; of files a tenth."""

TOKENS = [
    *"BCNOPSFIbcnops*()[]=#$:/\\~-+.%@0123456789H", "Cl", "Br", "[C@H]", "[C@@]", "[nH]", "[O-]", "[N+]", "[2H]",
    "[Fe]", "%12", "%(123)", "->", "<-", "[U+9]", "[#6]", "[*:1]", "c1ccccc1", "[Co@OH12]", "[13CH3]", "(=O)", "[C:1]",
    "{", ">",
]  # fmt: skip

FAMILIES = [
    lambda n: "C" * n, lambda n: "C(" * n + "C" + ")" * n, lambda n: "C1" * n, lambda n: "[C@H](F)" * n + "C",
    lambda n: "F/C=C/" * n + "C", lambda n: "c1ccc(cc1)" * n + "C", lambda n: "c1" + "c" * n + "c1",
    lambda n: "C." * n + "C", lambda n: "[" * n, lambda n: "C(" * n, lambda n: "N[C@@H](C)C(=O)" * n + "O",
    lambda n: "".join(f"C%({i})C%({i + n})" for i in range(10, 10 + n)), lambda n: "*" * n, lambda n: "[U]" + "(C)" * n,
    lambda n: "[C" + "+" * n + "]", lambda n: "C%" + "9" * n, lambda n: "C1CC1" * n, lambda n: "c1cc2cccc2c1-" * n,
]  # fmt: skip
"""Shapes that have brought parsers down when they were long."""


def strings(seed: int, part: int) -> list[str]:
    """The strings of a part."""
    rng = random.Random(f"strings {seed} {part}")
    return [_string(rng) for _ in range(PART)]


def _string(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        text = rng.choice(MOLECULES)
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            text = _mutated(text, rng)
        return text
    if kind < 0.9:
        return "".join(rng.choices(TOKENS, k=rng.randint(1, 60)))
    if kind < 0.98:
        return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) for _ in range(rng.randint(0, 30)))
    text = rng.choice(FAMILIES)(rng.choice((5, 20, 60, 200) if rng.random() < 0.9 else (600, 3000)))
    return text if rng.random() < 0.5 else _mutated(text, rng)


def _mutated(text: str, rng: random.Random) -> str:
    place, other = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    match rng.randrange(7):
        case 0:
            return text[:place] + rng.choice(TOKENS) + text[place:]
        case 5 | 6:
            return text[:place] + text[place:].replace("C", rng.choice(("N", "O", "B", "S", "[C@H]", "[CH]", "*")), 1)
        case 1:
            return text[:place] + text[place + 1 :]
        case 2:
            return text[:place] + rng.choice(TOKENS) + text[place + 1 :]
        case 3:
            return text[:other] + text[place:other] + text[other:]
        case _:
            return text[:place] + rng.choice(MOLECULES)[: rng.randint(1, 20)] + text[other:]


def check_strings(texts: list[str], pool: WorkerPool, options: GraphOptions = GraphOptions()) -> Counter[str]:
    """Every string is a graph with atoms or has one of the thirteen reasons; returns how often each came."""
    (answer,) = pool.read([texts], options)
    graphs, rows, errors = answer
    assert sorted([*rows.tolist(), *errors]) == list(range(len(texts)))
    assert len(graphs) == len(rows)
    assert (graphs.num_atoms > 0).all()
    for row, error in errors.items():
        assert error.code in REASONS, (texts[row], error.code)
        assert error.reason, texts[row]
        assert "\n" not in error.reason, texts[row]
        assert error.code not in ("timeout", "crash"), (texts[row], error.reason)
    return Counter(["graph"] * len(rows) + [error.code for error in errors.values()])


PLAIN = {
    "t.csv": b'id,smiles,y\n007,CCO,1.5\nNA,"C(=O)[O-].[Na+]",\n1e5,C1CC,"1,5"\n',
    "t.tsv": b"smiles\tname\r\nCCO\tan alcohol\r\nc1ccccc1\t\r\n\r\nN\tx\r\n",
    "semi.csv": b"\xef\xbb\xbfsmiles;y\nCCO;1,5\nCC;2,5\n\nC;3;\nTotal: 3\n",
    "t.smi": b"# made by hand\nCCO ethanol\nC1CC broken ring\nCC\n",
    "quoted.csv": b'smiles,note\nCCO,"two\nlines"\n"CC","a ""quote"""\nN,"open\nC,x\n',
    "u16.csv": "smiles,y\nCCO,1\nCC,2\n".encode("utf-16"),
    "one.csv": b"smiles\nCCO\nCC\nC\n",
    "latin.csv": b"smiles,name\nCCO,\xe9thanol\nCC,\xff\n",
    "bare.csv": b"CCO,1\nCC,2\nCCC,3\n",
    "t.sdf": (
        b"methane\n  made\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n"
        b"    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0\nM  END\n> <y>\n1.5\n\n$$$$\n"
    )
    * 2,
}


def base_files() -> dict[str, bytes]:
    """Well-formed files of every format, to be mutated."""
    from backports import zstd
    from pyarrow import parquet, table

    file = io.BytesIO()
    parquet.write_table(table({"smiles": ["CCO", None, "CC"], "y": [1.5, None, 2]}), file)
    packed = {f"{pack.__module__}.gz": pack(PLAIN["t.csv"]) for pack in (bz2.compress, lzma.compress, zstd.compress)}
    packed["gz.gz"] = gzip.compress(PLAIN["t.csv"] * 3, mtime=0) + gzip.compress(PLAIN["bare.csv"], mtime=0)
    return PLAIN | packed | {"t.parquet": file.getvalue()}


def files(seed: int, part: int, base: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The files of a part."""
    rng = random.Random(f"files {seed} {part}")
    for _ in range(PART // 10):
        name = rng.choice(list(base))
        content = base[name]
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            content = _damaged(content, rng)
        yield name, content


def _damaged(content: bytes, rng: random.Random) -> bytes:
    place, other = sorted((rng.randint(0, len(content)), rng.randint(0, len(content))))
    match rng.randrange(6):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + rng.randbytes(rng.choice((1, 1, 4, 64))) + content[place:]
        case 2:
            return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
        case 3:
            return content[:place] + rng.choice((b'"', b"\n", b"\r", b",", b"\t", b";", b"\0", b" ")) + content[place:]
        case 4:
            return content[:other] + content[place:other] * rng.choice((1, 2, 50)) + content[other:]
        case _:
            return content[:place] + content[other:]


def check_file(path: Path, output: Path) -> str:
    """A file is refused in words, or every row of it comes out once and in its place; returns which."""
    try:
        with open_table(path) as table:
            smiles = table.smiles_index
            assert 0 <= smiles < len(table.columns)
            rows, last = 0, 0
            with open_writer(output, {"outcome_of_ours": str}, after=table.layout) as writer:
                for row in table:
                    rows += 1
                    assert len(row.cells) == len(table.columns)
                    assert row.line > last
                    last = row.line
                    assert row.problem is None or row.problem.code in REASONS
                    writer.write([[str(rows)]], after=[row])
    except MolmpError as error:
        return type(error).__name__
    assert _last_cells(output, table.layout) == [str(row) for row in range(1, rows + 1)]
    return "rows"


def _last_cells(path: Path, layout: Layout) -> list[str]:
    """Read the last column as any other program would, without its name."""
    kept = layout.format == "csv" and layout.delimiter != "\t"
    limit = csv.field_size_limit(1 << 30)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [cells[-1] for cells in csv.reader(file, delimiter=layout.delimiter if kept else ",")][1:]
    finally:
        csv.field_size_limit(limit)


def main() -> None:
    """Run parts until all are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["strings", "files"])
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="strings or files that were done before")
    asked = parser.parse_args()
    size = PART if asked.what == "strings" else PART // 10
    total: Counter[str] = Counter()
    started = time.process_time()
    with WorkerPool(1) as pool, tempfile.TemporaryDirectory() as folder:
        check: Callable[[int], Counter[str]] = _string_part(pool) if asked.what == "strings" else _file_part(folder)
        for part in range(asked.start // size, asked.count // size):
            try:
                total += check(asked.seed, part)
            except BaseException:
                print(f"{asked.what}, seed {asked.seed}: go on with --start {part * size}", file=sys.stderr)
                raise
            if (part + 1) % 50 == 0:
                print(f"{(part + 1) * size:,}: {dict(total.most_common())}", flush=True)
    print(f"{asked.count:,} {asked.what}, seed {asked.seed}: {dict(total.most_common())}")
    print(f"{time.process_time() - started:.0f} s of processor time here, besides that of the worker")


def _string_part(pool: WorkerPool) -> Callable[[int, int], Counter[str]]:
    return lambda seed, part: check_strings(strings(seed, part), pool)


def _file_part(folder: str) -> Callable[[int, int], Counter[str]]:
    base = base_files()

    def check(seed: int, part: int) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for number, (name, content) in enumerate(files(seed, part, base)):
            path = Path(folder, name)
            path.write_bytes(content)
            try:
                outcomes[check_file(path, Path(folder, "out.csv"))] += 1
            except BaseException:
                print(f"file {number} of part {part}: {name} {content[:2000]!r}", file=sys.stderr)
                raise
        return outcomes

    return check


if __name__ == "__main__":
    main()
