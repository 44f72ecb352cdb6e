"""Pages that are one file: style, script and pictures inside, nothing fetched from anywhere."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from molmp import __version__

__all__ = ["render_page"]


def render_page(template: str, **content: Any) -> str:
    """Fill one of the templates of ``molmp/page/templates``; text is escaped, :class:`markupsafe.Markup` is not."""
    return _environment().get_template(template).render(**content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("molmp.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["version"] = __version__
    environment.filters["number"] = _number
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    return environment


def _number(value: Any) -> str | Markup:
    """Four significant digits, thousands in groups; a dash where there is nothing."""
    if value is None or value != value:
        return Markup("&ndash;")
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
