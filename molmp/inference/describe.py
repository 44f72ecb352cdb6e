"""What a trained model is, for a program and for a reader."""

from typing import Any

from molmp.training.bundle import Bundle
from molmp.training.views import seen

__all__ = ["describe", "describe_in_words", "recipe"]


def describe(bundle: Bundle) -> dict[str, Any]:
    """All that ``model.json`` holds, with numbers in the place of names of features and of calibration scores."""
    document = bundle.to_dict()
    features = document["features"]
    document["features"] = {
        "atom_codes": len(features["atom"]), "bond_codes": len(features["bond"]), "options": features["options"],
    }  # fmt: skip
    document["trust"] = _trust(bundle)
    document["parameters"] = sum(t.numel() for t in bundle.members[0].values())
    return document


def recipe(bundle: Bundle) -> str:
    """How a model was made, in one line: what was chosen, by the user, by default or by the data."""
    network, training = bundle.network, bundle.training
    beside = [f"boosted trees on {bundle.options.features} count half"] if bundle.trees else []
    parts = [
        f"{len(bundle.members)} x {network.layer_name}, {network.steps} steps",
        f"width {network.hidden}, {network.readout}",
        f"features {bundle.options.features}{_views(bundle)}",
        f"loss {bundle.targets.loss}",
        *beside,
        *(["refitted with the validation molecules"] if "val" in bundle.learned_from else []),
        f"{training.epochs} epochs of batches of {training.batch_size}, learning rate {training.lr:g}",
        *([bundle.data["start"]] if "start" in bundle.data else []),
    ]
    for target in bundle.targets.items:
        if target.transform is not None:
            power = target.transform.power
            how = "logarithm" if power is None else f"Yeo-Johnson power {power:.2f}"
            parts.append(f"{target.name} is skewed: {how}")
    return "; ".join(parts)


def _views(bundle: Bundle) -> str:
    """Say where networks do not see the same features."""
    features, views = bundle.options.features, bundle.training.views
    ensemble = min(bundle.training.ensemble, len(bundle.members))  # the file may say any number
    numbers = {int(seen(features, views, member).sum()) for member in range(ensemble)}
    return ", seen by some of the networks" if len(numbers) > 1 else ""


def describe_in_words(bundle: Bundle) -> str:
    """A dozen lines of text."""
    network, data, options = bundle.network, bundle.data, bundle.options
    lines = [("task", bundle.targets.task), ("loss", bundle.targets.loss)]
    for target in bundle.targets.items:
        unit = f" in {target.unit}" if target.unit else ""
        classes = f": {', '.join(target.classes)}" if target.classes else ""
        cut = "" if target.threshold is None else f"; {target.classes[1]} from {target.threshold:.3g} on"
        shares = "".join(f", {share:.2f}" for share in target.shares)
        counts = f"; networks{' and trees' if bundle.trees else ''} count{shares[1:]}" if shares else ""
        lines.append(("target", f"{target.name}{unit}{classes}{cut}{counts}"))
    lines.append(
        ("network", f"{network.layer_name} x {network.steps} steps, width {network.hidden}, {network.readout}")
    )
    size = sum(t.numel() for t in bundle.members[0].values())
    lines.append(("size", f"{len(bundle.members)} x {size:,} parameters"))
    lines.append(("recipe", recipe(bundle)))
    lines.append(("molecules", f"standardize {options.standardize}, explicit hydrogens {options.explicit_hydrogens}"))
    if "file" in data:
        digest = f", sha256 {data['sha256'][:12]}" if "sha256" in data else ""
        lines.append(("data", f"{data['file']}, {data['rows']:,} rows{digest}"))
    if "split_rows" in data:
        lines.append(("split", ", ".join(f"{name} {rows:,}" for name, rows in data["split_rows"].items())))
    if "val" in bundle.learned_from:
        lines.append(
            ("", "the networks learned from train and val; val below is of others, that learned from train alone")
        )
    for part in ("val", "test"):
        scores = bundle.metrics.get(part, {})
        known = [f"{name} {value:.4f}" for name, value in scores.items() if value is not None]
        lines.append((part, "  ".join(known) or "no molecules"))
    if bundle.trust is not None:
        kept = "no molecules" if bundle.trust.domain is None else f"{len(bundle.trust.domain):,} molecules"
        lines.append(("trust", f"keeps {kept} of training"))
        lines += [("", f"{name}: {about}") for name, about in _trust(bundle)["targets"].items()]
    lines.append(("versions", ", ".join(f"{name} {version}" for name, version in bundle.versions.items())))
    lines.append(("trained", f"{bundle.created}, seed {bundle.training.seed}"))
    return "\n".join(f"{name:<10} {text}" for name, text in lines)


def _trust(bundle: Bundle) -> dict[str, Any]:
    """How many molecules of training are kept, and how each target was calibrated; empty for a model without trust."""
    if bundle.trust is None:
        return {}
    told = {
        name: "not calibrated" if trust is None else f"{trust.method}; {trust.count:,} calibration molecules"
        for name, trust in zip(bundle.targets.names, bundle.trust.targets, strict=True)
    }
    return {"molecules": 0 if bundle.trust.domain is None else len(bundle.trust.domain), "targets": told}
