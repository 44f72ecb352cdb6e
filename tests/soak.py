"""`make soak`: peak memory of `molmp predict` at many rows against that at 10^5, on molecules that are all different.

The peak is that of all its processes together, pages that they share counted twice.
Exits with 1 where the peak grows by more than a fifth or passes 1 GiB plus the model.

    python tests/soak.py --rows 10000000
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generated import ENDS, MIDDLES
from processes import peak_memory
from tiny import TARGETS

FEW = 100_000
MOST_GROWTH, MOST_BYTES = 1.2, 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="Where the files are made.  [default: a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        size = write_model(folder / "run")
        peaks = [peak_of(folder, rows) for rows in (FEW, options.rows)]
    growth, most = peaks[1] / peaks[0], MOST_BYTES + size
    print(
        f"peak grows by a factor of {growth:.3f} (at most {MOST_GROWTH}); {peaks[1] / 1e6:,.0f} MB of {most / 1e6:,.0f}"
    )
    sys.exit(growth > MOST_GROWTH or peaks[1] > most)


def write_model(folder: Path) -> int:
    """Write a model of the default size that learned nothing; return the bytes of its weights."""
    from molmp.chem.featurize import GraphOptions
    from molmp.inference.model_file import WEIGHTS_NAME, save_bundle
    from molmp.nn.model import ModelConfig
    from molmp.training.bundle import Bundle
    from molmp.training.config import TrainConfig
    from molmp.training.run import new_model
    from molmp.training.targets import Targets

    targets, network = Targets("regression", TARGETS["regression"]), ModelConfig()
    members = (new_model(network, targets.num_outputs, 0).state_dict(),)
    bundle = Bundle(targets=targets, options=GraphOptions(), network=network, training=TrainConfig(), members=members)
    save_bundle(bundle, folder)
    return (folder / WEIGHTS_NAME).stat().st_size


def peak_of(folder: Path, rows: int) -> int:
    """Predict a file of so many rows; return the largest resident memory of all processes together in bytes."""
    rng = random.Random(0)
    with open(folder / "in.csv", "w") as file:
        file.write("smiles,id\n")
        for row in range(rows):
            text = "".join([*rng.choices(MIDDLES, k=rng.choice((1, 2, 2, 3))), rng.choice(ENDS)])
            file.write(f"{text},{row}\n")
    command = [sys.executable, "-m", "molmp_cli", "predict", "in.csv", "-m", "run", "-o", "out.csv", "--device", "cpu"]
    started, peak, pid = time.perf_counter(), 0, 0
    with open(folder / "said.txt", "w+") as said:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=said)
        while not pid:
            time.sleep(0.1)
            peak = max(peak, peak_memory(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = said.read()
    if process.returncode:
        raise SystemExit(words)
    with open(folder / "out.csv", "rb") as file:
        lines = sum(1 for _ in file)
    assert lines == rows + 1, f"{lines} lines for {rows} rows"
    seconds = used.ru_utime + used.ru_stime
    print(
        f"{rows:,} rows: peak {peak / 1e6:,.0f} MB, {1e6 * seconds / rows:.0f} us of CPU a row, "
        f"{time.perf_counter() - started:,.0f} s; {words.splitlines()[-1]}",
        flush=True,
    )
    return peak


if __name__ == "__main__":
    main()
