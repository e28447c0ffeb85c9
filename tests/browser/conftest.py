"""A headless Chromium, which fails a test for what its console says and for what the page's CSP forbids."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

SCREENSHOTS = Path(settings.BASE_DIR) / ".cache" / "screenshots"
AXE = Path(settings.BASE_DIR) / ".cache" / "node_modules" / "axe-core" / "axe.min.js"

# Playwright drives the browser from an event loop of its own in this thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("No Chromium was found on PATH; the browser tests need one.")
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which examines a page for what keeps people from using it."""
    if not AXE.exists():
        pytest.fail(f"{AXE} is not there. Install it: npm install --prefix .cache --no-save axe-core@4")
    return AXE.read_text()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[1280, 390], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, scheme: str) -> Iterator[Any]:
    """A page of a size and a colour scheme; whatever the console says, or the CSP forbids, fails the test."""
    context = chromium.new_context(viewport={"width": request.param, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("requestfailed", lambda failed: said.append(f"{failed.failure}: {failed.url}"))
    page.on(
        "response",
        lambda response: said.append(f"{response.status}: {response.url}") if response.status >= 400 else None,
    )
    page.look = lambda name: _look(page, f"{name}-{request.node.callspec.id}.png")
    yield page
    context.close()
    # Leaving a page ends what it was still loading.
    assert [line for line in said if not line.startswith("net::ERR_ABORTED")] == []


def _look(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / name, full_page=True)
