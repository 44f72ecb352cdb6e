"""make bench-members DATA=folder: several networks trained in one pass beside one network, whole processes.

``folder`` holds lipo.csv with columns ``smiles`` and ``logd74``. Ten epochs each, in turn, three times.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.frame import Series, interleave, lines, save, show
from benchmarks.peers import python_of, versions_of
from benchmarks.process import run_process

__all__ = ["main"]

COUNTS = (1, 3, 5)

EPOCHS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peaks: dict[int, float] = dict.fromkeys(COUNTS, 0.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(options.data / "lipo.csv", folder)

        def run(count: int) -> Callable[[int], float]:
            command = [python_of("molmp").with_name("molmp"), "train", "lipo.csv", "--target-columns", "logd74"]
            command += ["--epochs", str(EPOCHS), "--ensemble", str(count), "--no-cache", "--force", "-o", "run"]

            def cpu_seconds(_: int) -> float:
                used = run_process(command, folder)
                peaks[count] = max(peaks[count], used.peak_mb)
                return used.cpu_s

            return cpu_seconds

        spent = interleave({count: run(count) for count in COUNTS}, rounds=options.rounds)
    versions = versions_of(python_of("molmp"))
    series = [Series(f"{count} networks", spent[count], peaks[count], versions) for count in COUNTS]
    made = lines("members", {"set": "lipo", "epochs": EPOCHS}, "process", series, base=series[0].subject)
    save(made)
    show(made)


if __name__ == "__main__":
    main()
