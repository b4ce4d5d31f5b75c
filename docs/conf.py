"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

import importlib.metadata

project = "segmentflow-core"
author = "the segmentflow-core contributors"
copyright = author  # noqa: A001  # the name Sphinx reads
release = version = importlib.metadata.version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# The build needs no network, so other projects' names cannot be looked up; nor can the private
# classes that public ones extend. Every public name of ours must be.
nitpick_ignore_regex = [(r"py:.*", r"(?!segmentflow_).*"), (r"py:class", r"segmentflow_.*\._\w+")]
