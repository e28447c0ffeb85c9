"""How the documentation is built: ``sphinx-build -W -n -b html docs docs/_build/html``."""
# ruff: noqa: INP001 - Sphinx reads it, nobody imports it

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import django_dripcache
from django_dripcache import outcomes

project = "django-dripcache"
author = "The django-dripcache developers"
project_copyright = author
release = django_dripcache.__version__
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build", "measured"]
highlight_language = "python"
nitpicky = True
nitpick_ignore = [
    # Type variables, and what is for type checkers alone.
    ("py:class", "Algorithm"),
    ("py:class", "Key"),
    ("py:class", "CachedView"),
    ("py:class", "Mapping[str"),
    ("py:class", "Memoize"),
    ("py:class", "Namespace"),
    ("py:class", "OnDuplicate"),
    ("py:class", "OnLimitOutage"),
    ("py:class", "P"),
    ("py:class", "R"),
    ("py:class", "django_dripcache.later.T"),
    ("py:class", "django_dripcache.memo.R"),
    ("py:class", "django_dripcache.memo.V"),
    ("py:obj", "typing.~P"),
    # The build needs no network, so it does not know where other projects document these.
    ("py:class", "Celery"),
    ("py:class", "HttpRequest"),
    ("py:class", "HttpResponseBase"),
    ("py:class", "Redis"),
    ("py:class", "collections.abc.Callable"),
    ("py:class", "datetime"),
    ("py:class", "datetime.datetime"),
    ("py:class", "datetime.timedelta"),
    ("py:class", "django.core.cache.backends.base.BaseCache"),
    ("py:class", "django_redis.cache.RedisCache"),
    ("py:class", "django_redis.client.default.DefaultClient"),
    ("py:class", "redis.client.Redis"),
]

toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"django-dripcache {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {
    "light_css_variables": {"color-api-name": "#0a4bff", "color-api-pre-name": "#0a4bff"},
    "dark_css_variables": {"color-api-name": "#8ab4ff", "color-api-pre-name": "#8ab4ff"},
}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


class Outcomes(Directive):
    """Print a table of ``django_dripcache.outcomes``, by its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Let a list-table be made of it."""
        name = self.arguments[0]
        lines = [".. list-table::", f"    :name: outage-{name}", "    :header-rows: 1", "    :widths: 62 38", ""]
        lines += ["    * - Call", "      - Answer"]
        for call, answer in getattr(outcomes, name.upper()).items():
            what = answer.removeprefix("raises ")
            lines += [f"    * - ``{call}``", f"      - {'raises ' * answer.startswith('raises ')}``{what}``"]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, "outcomes"), self.content_offset, node)
        return node.children


def setup(app: object) -> None:
    """Make the directive known."""
    app.add_directive("outcomes", Outcomes)  # type: ignore[attr-defined]
