"""The pages of the server: the model itself, and its interface for programs."""

import json
from importlib.resources import files
from typing import Any

from molmp.page.render import render_page
from molmp.serve.limits import Limits
from molmp.training.bundle import Bundle
from molmp.trust.trusted import COVERAGE

__all__ = ["index_page", "interface_page", "shared_files"]

EXAMPLES = ("CC(=O)Oc1ccccc1C(=O)O aspirin", "Cn1c(=O)c2c(ncn2C)n(C)c1=O caffeine")

COVERAGES = (0.5, 0.8, COVERAGE, 0.95, 0.99)


def shared_files() -> dict[str, tuple[str, str]]:
    """Type and text of what this page has in common with all others that molmp writes."""
    shared = files("molmp.page").joinpath("templates")
    return {
        "style.css": ("text/css", shared.joinpath("style.css").read_text("utf-8")),
        "sort.js": ("text/javascript", shared.joinpath("sort.js").read_text("utf-8")),
    }


def index_page(bundle: Bundle, name: str, limits: Limits) -> str:
    """The page where molecules are pasted, drawn or sent as a table."""
    test = {key: value for key, value in bundle.metrics.get("test", {}).items() if value is not None}
    return render_page(
        "serve.html", name=name or ", ".join(bundle.targets.names[:3]), bundle=bundle, limits=limits, test=test,
        learned=sum(rows for part, rows in bundle.data.get("split_rows", {}).items() if part in bundle.learned_from),
        examples="\n".join(_examples(bundle)), model=json.dumps(_model(bundle)),
        coverages={f"{100 * share:g} %": share for share in COVERAGES} if bundle.trust else {}, coverage=COVERAGE,
    )  # fmt: skip


def interface_page(openapi: dict[str, Any]) -> str:
    """The JSON API for readers: every path, what it takes and gives."""
    routes = [
        {"method": method.upper(), "path": path, **operation, "sample": _sample(path, method, operation, openapi)}
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = openapi["components"]["schemas"]
    records = {
        name: {
            "meaning": schema.get("description", ""),
            "told": any("description" in about for about in fields.values()),
            "fields": [(field, _kind(about), about.get("description", "")) for field, about in fields.items()],
        }
        for name, schema in schemas.items()
        if (fields := schema.get("properties")) and not name.startswith(("Body_", "HTTPValidation", "ValidationError"))
    }
    return render_page("interface.html", routes=routes, records=records)


def _kind(about: dict[str, Any]) -> str:
    """The type of a field in words.

    >>> _kind({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]})
    'array of number, or null'
    """
    if "anyOf" in about:
        return ", or ".join(_kind(choice) for choice in about["anyOf"])
    if "$ref" in about:
        return str(about["$ref"]).rsplit("/", 1)[1]
    if "enum" in about:
        return " or ".join(map(json.dumps, about["enum"]))
    inner = about.get("items") or about.get("additionalProperties")
    kind = str(about.get("const") or about.get("type", "anything"))
    return f"{kind} of {_kind(inner)}" if isinstance(inner, dict) else kind


def _examples(bundle: Bundle) -> list[str]:
    """Well-known molecules, and two that the model has learned from: most models know little of the former."""
    names = bundle.trust.domain.names if bundle.trust and bundle.trust.domain else ()
    known = [name for name in (names[0], names[len(names) // 2]) if not name.startswith("row ")] if names else []
    return [*(f"{smiles} training molecule" for smiles in dict.fromkeys(known)), *EXAMPLES]


def _model(bundle: Bundle) -> dict[str, Any]:
    """What the scripts of the page need to know."""
    targets = [{"name": item.name, "unit": item.unit, "classes": item.classes} for item in bundle.targets.items]
    return {"targets": targets, "choices": _choices(bundle)}


def _choices(bundle: Bundle) -> list[dict[str, str | None]]:
    """What can be explained: targets, and classes where there are more than two."""
    choices: list[dict[str, str | None]] = []
    for target in bundle.targets.items:
        for of_class in reversed(target.classes) if bundle.targets.task == "multiclass" else [None]:
            text = target.name if of_class is None else f"{target.name}: {of_class}"
            choices.append({"text": text, "target": target.name, "of_class": of_class})
    return choices


def _sample(path: str, method: str, operation: dict[str, Any], openapi: dict[str, Any]) -> str:
    """How to call a route from a shell."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        name = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        fields = openapi["components"]["schemas"][name]["properties"]
        body = json.dumps({key: field["examples"][0] for key, field in fields.items() if "examples" in field})
        return f"curl HERE{path} -H 'content-type: application/json' -d '{body}'"
    if content:
        return f"curl HERE{path} -F file=@molecules.csv -o predicted.csv"
    names = [parameter["name"] for parameter in operation.get("parameters", [])]
    query = "?" + "&".join(f"{name}=..." for name in names) if names else ""
    return f"curl '{'HERE'}{path}{query}'"
