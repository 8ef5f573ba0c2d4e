"""A real browser before a real cluster: pages in two sizes and two themes, pictures of them, and what is wrong with them.

Debian's Chromium, driven by Playwright, which brings no browser of its own here. Whatever a page says on its console, and
every script that fails, is kept: a page that works by luck is found out.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("HOLDFAST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# Where pictures go that are to be kept.
PICTURES = os.environ.get("HOLDFAST_PICTURES")
# Files of the console to be tried without building them into the binary.
SOURCES = os.environ.get("HOLDFAST_CONSOLE_SOURCES")

SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 360, "height": 740}}

# Rules of WCAG 2.2 AA and what axe recommends beside them.
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

# What a browser says that is no fault of the page: a status that the page expects, and asks for.
EXPECTED = ("status of 401", "status of 403", "status of 404")


class Browser:
    """Chromium, and what its pages complained of."""

    def __init__(self, playwright):
        self.chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        self.complaints = []

    @contextmanager
    def page(self, url, size="wide", theme="light", motion="no-preference"):
        """A page of its own, signed out."""
        context = self.chromium.new_context(
            viewport=SIZES[size], color_scheme=theme, reduced_motion=motion, base_url=url, accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        page = context.new_page()
        page.on("console", lambda said: self._complain(page, said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self._complain(page, str(error)))
        page.set_default_timeout(15_000)
        if SOURCES:
            from_sources(page)
        try:
            yield page
        finally:
            context.close()

    def _complain(self, page, text):
        if not any(expected in text for expected in EXPECTED):
            self.complaints.append(f"{page.url}: {text}")

    def assert_no_complaints(self):
        complaints, self.complaints = self.complaints, []
        assert not complaints, "\n".join(complaints[:5])


@contextmanager
def browser():
    with sync_playwright() as playwright:
        opened = Browser(playwright)
        try:
            yield opened
        finally:
            opened.chromium.close()


def from_sources(page):
    """Serves the console's files from where they are edited."""
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

    def file(route):
        path = Path(SOURCES) / route.request.url.split("/console/assets/", 1)[1].split("/", 1)[1]
        route.fulfill(body=path.read_bytes(), content_type=kinds[path.suffix])

    page.route("**/console/assets/**", file)


def sign_in(page, key, secret):
    page.goto("/console/")
    page.get_by_label("Access key ID").fill(key)
    page.get_by_label("Secret access key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Ring", exact=True).wait_for()


def violations(page):
    """What axe finds, shortly."""
    found = Axe().run(page, options=AXE).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:160]} ({len(rule['nodes'])})" for rule in found]


def picture(page, name, full=False):
    """Keeps a picture, if pictures are wanted."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=full, animations="allow")


def overflows(page):
    """By how many pixels the page is wider than its window: it must not scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
