"""A real browser, and pages for it.

With EXPLORER_SCREENSHOTS=FOLDER the tests leave pictures of what they see, for the documentation.
"""

import base64
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from bert_jax.explorer.opening import Opened, open_views
from bert_jax.explorer.server import listen, make_application, make_server, page_address

ROOT = Path(__file__).parent.parent.parent
ENCODER, CLASSIFIER = (
    os.path.relpath(ROOT / "examples" / name) for name in ("nsmc_encoder", "nsmc_classifier")
)
TOKEN = "token-of-the-tests"
DESKTOP, PHONE = (1280, 900), (390, 844)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--lang=en-US", "--force-device-scale-factor=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> Iterator[WebDriver]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its chromedriver: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("timeouts", {"implicit": 0, "pageLoad": 60_000, "script": 60_000})
    with webdriver.Chrome(options, Service(driver)) as browser:
        yield browser


@pytest.fixture
def browser(chromium) -> Iterator[WebDriver]:
    """Chromium at the size of a desktop; a test fails if the console has an error at its end."""
    resize(chromium, DESKTOP)
    yield chromium
    errors = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    chromium.execute_script("try { localStorage.clear() } catch { /* about:blank has none */ }")
    chromium.get("about:blank")
    resize(chromium, DESKTOP, dark=False)
    assert not errors


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[[str], str]]:
    """`served(MODEL)` is the address of the model's page; each is opened once."""
    addresses: dict[str, str] = {}
    with ExitStack() as stack:

        def address(name: str) -> str:
            if name not in addresses:
                addresses[name] = stack.enter_context(serving(open_views(name)))
            return addresses[name]

        yield address


@contextmanager
def serving(opened: Opened) -> Iterator[str]:
    """Serve views in a thread; yield the page's address."""
    listener = listen(0)
    application = make_application(opened, TOKEN, listener.getsockname()[1])
    server = make_server(application)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield page_address(listener, TOKEN)
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


def resize(browser: WebDriver, size: tuple[int, int], dark: bool = False) -> None:
    """Give the page the size of a screen, light or dark; a phone's is a narrow one."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 0, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def screenshot(browser: WebDriver, name: str) -> None:
    """Save a picture of the page as NAME.webp, where EXPLORER_SCREENSHOTS says."""
    if folder := os.environ.get("EXPLORER_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        picture = {"format": "webp", "quality": 90}  # a quarter of the bytes of PNG
        data = browser.execute_cdp_cmd("Page.captureScreenshot", picture)["data"]
        (Path(folder) / f"{name}.webp").write_bytes(base64.b64decode(data))


def wait(browser: WebDriver, condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until a condition holds; return its value."""
    return WebDriverWait(browser, seconds, 0.05).until(lambda _: condition())
