"""What a user sees while a model is trained: one bar for all epochs, and a line for each finished network."""

import sys
from collections.abc import Iterable
from statistics import mean
from typing import Any

import click

__all__ = ["follow"]


def follow(records: Iterable[Any], num_molecules: int, epochs: int, metric: str) -> Any:
    """Show the records of :func:`molmp.training.run.train` on stderr; return the last one, the trained model."""
    from tqdm import tqdm

    from molmp.training.loop import Epoch, Step
    from molmp.training.run import Grown, MemberDone

    record: Any = None
    latest: dict[int, Any] = {}  # of each network
    total, pieces = num_molecules * epochs, 1
    bar = tqdm(total=total, unit="mol", unit_scale=True, disable=None, file=sys.stderr, leave=False)
    with bar:
        for record in records:
            if isinstance(record, Step):
                bar.update(record.num_molecules)
                if record.pieces > pieces:
                    pieces = record.pieces
                    bar.clear()
                    click.echo(f"molmp: out of memory: each batch is computed in {pieces} pieces from now on", err=True)
            elif isinstance(record, Epoch):
                latest[record.member] = record
                loss = mean(epoch.train_loss for epoch in latest.values())
                score = mean(epoch.val_score for epoch in latest.values())
                bar.set_description(f"epoch {record.epoch}/{epochs}")
                bar.set_postfix(loss=f"{loss:.4f}", **{f"val_{metric}": f"{score:.4f}"})
            elif isinstance(record, Grown):
                bar.set_description(f"boosted trees {record.number}/{record.total}")
            elif isinstance(record, MemberDone):
                bar.clear()
                click.echo(
                    f"network {record.member + 1}: epoch {record.kept_epoch} of {record.num_epochs} is kept, "
                    f"validation {metric} {record.val_score:.4f}, {record.molecules_per_second:,.0f} molecules/s",
                    err=True,
                )
    return record
