"""``make shuffle``: the whole suite again and again, each time in another order; a line for each run.

The order comes from the seed alone: ``pytest --randomly-seed=N`` makes a run again.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(".shuffle.log")


def run(seed: int, more: list[str]) -> tuple[int, str]:
    """The exit code of pytest and its last line."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-p",
        "no:cacheprovider",
        f"--randomly-seed={seed}",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return done.returncode, lines[-1].strip("= ") if lines else "no output"


def main() -> None:
    """Run; the exit code is 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("tests", nargs="*", help="all where none are named")
    asked = parser.parse_args()
    failed = 0
    for seed in range(asked.seed, asked.seed + asked.count):
        code, said = run(seed, asked.tests)
        failed += code != 0
        line = f"{time.strftime('%Y-%m-%d %H:%M')} seed {seed}: {'ok' if code == 0 else 'FAILED'}, {said}"
        print(line, flush=True)
        with RESULTS.open("a") as file:
            file.write(line + "\n")
    print(f"{asked.count} runs, {failed} failed; all in {RESULTS}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
