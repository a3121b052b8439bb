"""How Sphinx builds this site."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "Eisen-Deploy"
author = "The Eisen-Deploy developers"
project_copyright = author

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
default_role = "literal"

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

# Names that other projects document: their sites are not available while this one is built. A name
# of this project without a target stays a warning.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|pathlib|os|ray|requests|numpy|np|starlette|torch)(\..*)?|Path"),
]


def setup(app: Sphinx) -> None:
    """Leave out what does not lead anywhere."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("env-check-consistency", _forget_modules_without_source)


def _skip(_app: Sphinx, what: str, name: str, *_: object) -> bool | None:
    # Callers catch errors and do not make them.
    return True if what == "exception" and name == "__init__" else None


def _forget_modules_without_source(_app: Sphinx, env: BuildEnvironment) -> None:
    """Remove what viewcode would list although it has no page: the modules of named tuples."""
    modules = getattr(env, "_viewcode_modules", {})
    for name in [name for name, entry in modules.items() if not entry]:
        del modules[name]
