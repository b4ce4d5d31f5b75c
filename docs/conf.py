"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

from sphinx.application import Sphinx

project = "segmentflow-core"
author = "the segmentflow-core contributors"
copyright = author  # noqa: A001  # the name Sphinx reads
release = version = importlib.metadata.version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
pygments_dark_style = "github-dark"

# Of a conversation with the shell, what is typed is copied, and what is printed is not.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

# A name in single backticks, as docstrings have them.
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_html_meta = {
    "description": "events.track for any Python backend: one business event, recorded once",
    "keywords": "idempotency, duplicate, exactly once, outbox, GDPR, erase, upgrade",
}

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# What JSON may be is said by its name; in full it would hide what is being described.
autodoc_type_aliases = {name: name for name in ("JsonObject", "JsonValue", "Missing")}
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# The build needs no network, so other projects' names cannot be looked up; nor can the private
# classes that public ones extend. Every public name of ours must be.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!segmentflow_).*"),
    (r"py:class", r"segmentflow_.*\._\w+"),
    (r"py:class", r"segmentflow_.*\.[LRST]"),  # a type variable
    (r"py:class", r"segmentflow_sql\.alembic\.Op"),  # Alembic's own, whatever its class
    (r"py:class", r"segmentflow_core\.testing\.contract\.doors\.Doors"),  # a fixture of the kit
]


def _plainer_signature(
    _app: Sphinx,
    _what: str,
    _name: str,
    described: Any,
    _options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Leave out the arguments of a Protocol, which nobody calls; show an alias by its name."""
    if getattr(described, "_is_protocol", False):
        return "", ""
    return signature and _ALIAS.sub(r"\1", signature), returned


_ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")


def _linked_pages(
    _app: Sphinx, _what: str, _name: str, _described: Any, _options: object, docstring: list[str]
) -> None:
    """Make links of the pages that a docstring names, such as docs/reference/rules/errors.md."""
    docstring[:] = [_PAGE.sub(r":doc:`/\1`", line) for line in docstring]


_PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")


def setup(app: Sphinx) -> None:
    """Add what the settings above cannot say."""
    app.connect("autodoc-process-signature", _plainer_signature)
    app.connect("autodoc-process-docstring", _linked_pages)
