"""make bench-gpu DATA=folder: training steps on a CUDA device.

    python -m benchmarks.gpu --data folder      # reads hiv.csv.gz with RDKit, writes the graphs into a file, measures
    python -m benchmarks.gpu                    # measures with that file, on a machine that may have no RDKit

First, on whatever device there is, molmp is compared with the formula that has a matrix for each edge, in float64.
Without a CUDA device that is all. With one: time of a step by the device's own clock, peak memory, the step replayed
as a CUDA graph against the same step launched by Python, and a check that no step makes the host wait.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.subjects.no_rdkit import stand_in

stand_in()

from benchmarks.carry import read, write  # noqa: E402
from benchmarks.frame import RESULTS, Series, lines, save, show  # noqa: E402
from benchmarks.peers import python_of, versions_of  # noqa: E402
from benchmarks.subjects.step_nets import config, new_model, stepper, worst  # noqa: E402
from benchmarks.subjects.step_pyg import PYG, PygBatch, PygNet  # noqa: E402
from molmp.chem.graphs import MolGraphs  # noqa: E402
from molmp.nn.batch import DeviceGraphs  # noqa: E402

__all__ = ["measure"]

GRAPHS = RESULTS.with_name(".graphs.pt")

COUNT, ROUNDS = 4096, 15

CASES = ((64, 64), (256, 64), (256, 128), (256, 200), (64, 300), (1024, 128))
"""Molecules in a batch and hidden width."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--graphs", type=Path, default=GRAPHS, help="file that carries the tensors")
    options = parser.parse_args()
    if options.data:
        write(hiv_graphs(options.data), options.graphs)
    graphs = read(options.graphs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for batch, hidden in ((48, 24), (1, 16), (200, 32)):
        differs = worst(graphs.select(slice(batch)), config(hidden), torch.float64, device)
        print(f"{device.type}, float64, batch {batch}, width {hidden}: differs from {PYG} by {differs:.1e} at most")
    if device.type == "cpu":
        print("no CUDA device here: the formulas agree, nothing was timed")
        return
    for batch, hidden in CASES:
        made = measure(graphs.select(slice(batch)), hidden)
        save(made)
        show(made)


def hiv_graphs(data: Path) -> MolGraphs:
    """Graphs of HIV molecules."""
    from benchmarks.molecules import sample
    from molmp.chem.featurize import featurize

    return featurize(sample(data, COUNT, sets=["hiv"])).graphs


def measure(graphs: MolGraphs, hidden: int) -> list[dict[str, Any]]:
    """Time and weigh the steps of one case, interleaved."""
    device, settings = torch.device("cuda"), config(hidden)
    labels = torch.linspace(-1, 1, len(graphs), device=device).unsqueeze(1)
    steps: dict[str, Callable[[], None]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for name in ("flat", "compact"):
        store = DeviceGraphs(graphs, device, steps=settings.steps, compact=name == "compact")
        batch = store.batch()
        eager = stepper(new_model(settings).to(device), batch, labels)
        eager()
        facts[f"molmp, {name}"] = {"host_waits": waits(eager), "host_waits_for_batch": waits(store.batch)}
        steps[f"molmp, {name}"] = eager
        steps[f"molmp, {name}, graph replay"] = captured(stepper(new_model(settings).to(device), batch, labels))
    steps[PYG] = stepper(PygNet(new_model(settings)).to(device), PygBatch.of(graphs, torch.float32, device), labels)
    peaks = {name: peak_mb(step) for name, step in steps.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            spent[name].append(seconds(step))
    versions = versions_of(python_of("molmp")) | {"device": torch.cuda.get_device_name()}
    series = [Series(s, spent[s], peaks[s], versions, facts.get(s, {}) | {"ms": _ms(spent[s])}) for s in steps]
    return lines("gpu", {"batch": len(graphs), "width": hidden}, "step", series, base=PYG, clock="device")


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step as a CUDA graph; return its replay."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def waits(step: Callable[[], Any]) -> bool:
    """Whether anything in the step makes the host wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    except RuntimeError as error:
        print(f"the host waits: {error}")
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def peak_mb(step: Callable[[], None]) -> float:
    """Device memory that a step needs above what lies there before it, in megabytes."""
    step()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def seconds(step: Callable[[], None]) -> float:
    """One of three steps in a row, by the device's clock."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(3):
        step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 3e3


def _ms(spent: list[float]) -> float:
    return round(statistics.median(spent) * 1e3, 4)


if __name__ == "__main__":
    main()
