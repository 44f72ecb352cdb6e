"""What bounds are worth: the largest labels of training known as bounds only, learned from in three ways.

    python -m benchmarks.bounds TABLE [--target NAME] [--share 0.3] [--seeds 3] [--epochs 50]

Of the training and validation molecules the share with the largest labels is given as ``>limit``, as an assay whose
range ends there would. Test labels are whole. Printed is the root mean squared error on the test molecules, all of them
and those beyond the limit, for a model that takes bounds for bounds, one that takes them for values, one that leaves
them out, and one that knows the truth.
"""

import argparse
from dataclasses import replace

import numpy as np

from molmp.chem.featurize import GraphOptions, featurize
from molmp.nn.config import ModelConfig
from molmp.tables.dataset import load_dataset
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem, dataset_problem, readable_rows, split_rows
from molmp.training.run import Trained, train

__all__ = ["compare"]


def compare(problem: Problem, share: float, config: TrainConfig) -> dict[str, tuple[float, float]]:
    """Return for each way the error on all test molecules, and on those beyond the limit."""
    truth, known = problem.labels, np.union1d(problem.split.train, problem.split.val)
    limit = np.nanquantile(truth[known], 1 - share)
    beyond = np.isin(np.arange(len(truth)), known)[:, None] & (truth > limit)
    labels = np.where(beyond, limit, truth)
    ways = {
        "as bounds": replace(problem, labels=labels, sides=beyond.astype(np.int8)),
        "as values": replace(problem, labels=labels),
        "left out": replace(problem, labels=np.where(beyond, np.nan, truth)),
        "the truth": problem,
    }
    return {way: _errors(given, config, limit) for way, given in ways.items()}


def _errors(problem: Problem, config: TrainConfig, limit: float) -> tuple[float, float]:
    *_, trained = train(problem, ModelConfig(), config, device="cpu")
    assert isinstance(trained, Trained)
    y = problem.labels[trained.parts["test"], 0]
    error = trained.predictions["test"][0] - y
    return float(np.sqrt(np.mean(error**2))), float(np.sqrt(np.mean(error[y > limit] ** 2)))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table")
    parser.add_argument("--target")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--loss", default="auto")
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    args = parser.parse_args()
    dataset = load_dataset(args.table, target_columns=[args.target] if args.target else None)
    featurized = featurize(dataset.smiles, GraphOptions())
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(args.seeds):
        split = split_rows(dataset, readable_rows(dataset, featurized), seed=seed)
        problem = dataset_problem(dataset, featurized, GraphOptions(), split, {})
        for way, errors in compare(
            problem, args.share, TrainConfig(loss=args.loss, seed=seed, epochs=args.epochs, ensemble=1)
        ).items():
            found.setdefault(way, []).append(errors)
    print("| labels beyond the limit | RMSE of all | RMSE beyond the limit |\n| --- | ---: | ---: |")
    for way, errors in found.items():
        mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0)
        print(f"| {way} | {mean[0]:.3f} +- {spread[0]:.3f} | {mean[1]:.3f} +- {spread[1]:.3f} |")


if __name__ == "__main__":
    main()
