"""The templates of the pages: what stands in a post, a label or a name becomes text, and never a part of the page."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def page_template(name: str, **filters: Callable) -> Template:
    """
    Args:
        name: of a file beside this one.
        filters: what the template calls, by their names in it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)


__all__ = ["page_template"]
