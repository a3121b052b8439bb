"""Templates and a plan -> files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from .plan import Model, Plan
from .quoting import comment, quote_json, quote_program, quote_systemd

try:
    import jinja2
except ImportError:  # the command says what to install
    jinja2 = None  # type: ignore[assignment]


class NoTemplates(Exception):
    """Jinja2, which fills in the templates, is not installed."""


def render_files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield name and content of each file.

    :raises NoTemplates: if Jinja2 is missing.
    """
    yield "Dockerfile", _render("Dockerfile", quote_json, plan)
    yield ".dockerignore", _render("dockerignore", quote_json, plan)
    yield "requirements.txt", "".join(f"{line}\n" for line in plan.requirements)
    for name in ("deployment.yaml", "inferenceservice.yaml", "rayservice.yaml"):
        yield name, _render(name, quote_json, plan)
    for model in plan.models:
        yield model.unit, _render("eisen-serve.service", quote_systemd, plan, model)


def _render(
    name: str, quote: Callable[[object], str], plan: Plan, model: Model | None = None
) -> str:
    template = _make_environment(quote).get_template(f"{name}.jinja")
    return template.render(plan=plan, model=model)


@cache
def _make_environment(quote: Callable[[object], str]) -> jinja2.Environment:
    """Return what fills in templates and quotes each value, once it is computed."""
    if jinja2 is None:
        raise NoTemplates("Jinja2 is missing: pip install 'eisen-deploy-handler[export]'")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        undefined=jinja2.StrictUndefined,
        finalize=quote,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"comment": comment, "program": quote_program}
    return environment
