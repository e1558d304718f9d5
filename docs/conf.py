"""The documentation site, built by `make docs`: Sphinx with MyST-NB, no network.

Notebooks are executed when the site is built; an error or a warning ends the build.

The words after ```` ```sh ```` say where a block of commands was run, and become its caption:
"tests" if `tests/test_docs.py` runs it.
"""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import sys
import typing
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # for the notebooks' kernels
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the same outputs on every machine
os.environ["IPYTHONDIR"] = str(ROOT / "docs/_build/ipython")
PROFILE = ROOT / "docs/_build/ipython/profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
# Kernels listen on this machine only; without this they warn that they do not encrypt.
(PROFILE / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n", "utf-8")

import bert_jax.config  # noqa: E402
import convert  # noqa: E402
import explore  # noqa: E402
import predict  # noqa: E402

project = "bert_jax"
author = "the authors of bert_jax"
copyright = "the authors of bert_jax, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]

# --- Markdown and notebooks ---------------------------------------------------------------------
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # of one build: equal code, as of a translation, runs once
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
highlight_language = "none"  # of blocks that name no language
copybutton_exclude = ".linenos, .gp, .go, .c1"  # the comments behind commands are not copied

# --- Reference ----------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_custom_sections = ["Returns"]  # as prose: its colons separate no type
smartquotes_action = "qe"  # --steps keeps its dashes
default_role = "code"  # docstrings write `code` with one backtick
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!bert_jax\.).*"),  # other projects' names, without their inventories
    ("py:class", r"bert_jax\..*"),  # types of the annotations that no page describes
]
toc_object_entries_show_parents = "hide"

# --- Look ---------------------------------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_title = "bert_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search stands in the sidebar
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

COMMANDS = re.compile(r"^```sh (.+)$", re.MULTILINE)
may_differ: set[str] = set()  # fields, by full name
CONFIGURATIONS = [
    cls
    for module in (bert_jax.config, predict, convert)
    for cls in vars(module).values()
    if inspect.isclass(cls) and dataclasses.is_dataclass(cls)
]


def caption_commands(app, docname, source):
    """Turn the words after ```` ```sh ```` into a caption."""

    def block(match):
        where = "run by the tests" if match[1] == "tests" else match[1]
        return f"```{{code-block}} sh\n:caption: {where}\n"

    source[0] = COMMANDS.sub(block, source[0])


def plain_types(app):
    """Give the fields of configurations their types without marks for tyro and resuming."""
    for cls in CONFIGURATIONS:
        marked = typing.get_type_hints(cls, include_extras=True)
        cls.__annotations__ = typing.get_type_hints(cls)
        for name, hint in marked.items():
            if "may differ on resume" in getattr(hint, "__metadata__", ()):
                may_differ.add(f"{cls.__module__}.{cls.__qualname__}.{name}")


def skip_methods(app, what, name, obj, skip, options):
    """Leave out what a configuration computes: only its fields are options."""
    function = obj.fget if isinstance(obj, property) else obj
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    return True if owner in {cls.__qualname__ for cls in CONFIGURATIONS} else None


def describe_field(app, what, name, obj, options, lines):
    """Add what resuming allows; keep napoleon from taking a field's first colon for a type."""
    if what == "attribute":
        mark = ["", "*May differ on resume.*", ""] if name in may_differ else []
        lines[:] = ["", *lines, *mark]


def save_explorer(app, exception):
    """Save a page of explore.py, which notebooks/inspect_attention.md shows."""
    if exception is None and app.builder.format == "html":
        text = "배우들 연기는 좋았지만 이야기가 지루해서 시간이 아까웠다."
        page = str(Path(app.outdir).absolute() / "explorer.html")
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(io.StringIO()):
            explore.main(explore.ExploreConfig("examples/nsmc_encoder", (text,), save=page))


def setup(app):
    """Register what this file adds to Sphinx."""
    app.connect("source-read", caption_commands)
    app.connect("builder-inited", plain_types)
    app.connect("build-finished", save_explorer)
    app.connect("autodoc-skip-member", skip_methods)
    app.connect("autodoc-process-docstring", describe_field, priority=400)
