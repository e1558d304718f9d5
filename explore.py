"""Explore a model in the browser: `python explore.py MODEL`.

A page of this machine alone shows what the model can do: fill blanks, classify, tag, answer,
translate; what its attention sees; a run's curves. With --save it writes one file instead, which
shows some texts anywhere, without the model. Exit codes: 0 done (also after Ctrl-C), 2
configuration, 3 data, 4 no usable checkpoint.

Examples:
    python explore.py examples/nsmc_encoder
    python explore.py runs/demo --port 8000 --no-browser
    python explore.py examples/nsmc_classifier --save page.html "지루할 틈이 없다"
"""

import dataclasses
import os
import secrets
import sys

import tyro

from bert_jax.config.command_line import read_options
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import write_text
from bert_jax.remote.addresses import local_path

TOPICS = {"page": ("port", "browser"), "saved page": ("save",)}


@dataclasses.dataclass(frozen=True)
class ExploreConfig:
    """Model and page."""

    model: tyro.conf.Positional[str]
    """A run of any script, also while it trains, a folder of runs, or a Hugging Face directory:
    runs/demo, runs, gs://bucket/runs/demo."""
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """With --save: what the saved page shows. A run has curves to show without any."""
    save: str | None = None
    """File to write, such as page.html: a page to send to somebody, with the texts' answers."""
    port: int = 0
    """Port of 127.0.0.1; 0 takes a free one."""
    browser: bool = True
    """Open the page in a browser, where there is a screen."""


def main(config: ExploreConfig) -> int:
    """Show a model, or save a page of it; return the exit code."""
    if config.texts and config.save is None:
        raise ConfigError(
            f"texts {list(config.texts)[:3]} without --save",
            "texts for a saved page",
            "type them into the page, or add --save page.html",
        )
    if config.save is not None:
        return save(config, config.save)
    return show(config)


def show(config: ExploreConfig) -> int:
    """Serve the page until Ctrl-C."""
    try:
        from bert_jax.explorer.server import listen, page_address, serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is not installed",
            "the packages of the extra [page], which serve the page",
            'pip install "bert_jax[page]"',
        ) from None
    from bert_jax.explorer.opening import open_views

    with listen(config.port) as listener:
        opened = open_views(config.model)
        token = secrets.token_urlsafe(24)
        print(page_address(listener, token), flush=True)
        print(f"{opened.name}: {opened.about}. Ctrl-C ends.", flush=True)
        has_screen = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        try:
            serve(opened, listener, token, config.browser and bool(has_screen))
        except KeyboardInterrupt:
            print()
    return 0


def save(config: ExploreConfig, name: str) -> int:
    """Write a page of some texts."""
    from bert_jax.explorer.opening import open_views
    from bert_jax.explorer.saving import save_page

    path = local_path(name)
    opened = open_views(config.model)
    if not config.texts and not any(view.to_save(()) for view in opened.views):
        raise ConfigError("--save without a text", "texts to show", 'add them: "a text" "another"')
    page = save_page(opened, config.texts)
    write_text(path, page)
    print(f"{path}: {len(page.encode()) / 1e6:.1f} MB; open it in any browser")
    return 0


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(read_options(ExploreConfig, "explore.py", __doc__, TOPICS))


if __name__ == "__main__":
    sys.exit(command_line())
