"""The page in a real browser: it is read, looks like something, asks for nothing and complains about nothing."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from tests.reports import runs

from modekeeper.reports.page.report_page import render_page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)


PHONE = """<!doctype html><body style="margin:0">
<iframe id="page" src="/report.html" style="border:0;width:390px;height:3000px"></iframe><p id="said"></p><script>
page.onload = () => {
  const inside = page.contentDocument, shown = name => getComputedStyle(inside.querySelector(name)).display;
  said.textContent = JSON.stringify({
    wide: inside.documentElement.scrollWidth,
    inner: page.contentWindow.innerWidth,
    pictures: [shown("svg.wide"), shown("svg.narrow")],
  });
};</script>"""
"""A window of a browser is never narrower than 500 pixels; a frame is."""

ATTACK = "</title></style></svg><script>document.title='owned'</script><img src=/x onerror=\"console.log('owned')\">"


@pytest.fixture(scope="module")
def chromium() -> str:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed: the page was NOT looked at in a browser")
        pytest.skip("chromium is not installed: the page was NOT looked at in a browser")
    return CHROMIUM


@contextmanager
def served(pages: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Pages on the loopback interface; gives the address and the list of what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = pages.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Visit:
    """One page opened once: its document, its picture, what the browser said and what it asked for."""

    def __init__(self, chromium: str, address: str, folder: Path, size: tuple[int, int], *more: str) -> None:
        shot, log = folder / "shot.png", folder / "net.json"
        done = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars", "--enable-logging=stderr",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}",
                f"--screenshot={shot}", f"--log-net-log={log}", "--dump-dom", *more, address,
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        self.document = done.stdout.decode()
        self.console = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
        self.pixels = (image.imread(shot)[:, :, :3] * 255).astype(np.uint32)
        # What the page itself asked for: the browser has errands of its own, which have no origin.
        by_page = [line for line in log.read_text(encoding="utf-8").splitlines() if '"initiator":"http' in line]
        self.asked_by_page = {found for line in by_page for found in re.findall(r'"url":"([^"]+)"', line)}

    @property
    def text(self) -> str:
        bare = re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", "\n", self.document, flags=re.DOTALL)
        return unescape(bare)

    def colours(self) -> set[int]:
        """Colours of the picture, as 0xRRGGBB."""
        red, green, blue = self.pixels[:, :, 0], self.pixels[:, :, 1], self.pixels[:, :, 2]
        return {int(colour) for colour in np.unique(red << 16 | green << 8 | blue)}


def test_the_page_is_shown_whole_and_asks_for_nothing(chromium: str, tmp_path: Path) -> None:
    with served({"/report.html": render_page(runs.recorded())}) as (address, asked):
        visit = Visit(chromium, f"{address}/report.html", tmp_path, (1200, 2400))
    for expected in (
        runs.ANSWER.verdict,
        "Findings",
        "Decisions",
        "dataloader_num_workers 4 → 6 batches",
        "Where this comes from",
    ):
        assert expected in visit.text
    assert visit.document.count("<table") == 9
    assert visit.console == []
    assert asked == ["/report.html"]
    assert visit.asked_by_page == set()
    assert visit.pixels.shape[:2] == (2400, 1200)
    assert len(visit.colours()) > 200
    # The curve, the change for the worse and the mode DRIFT are there in their own colours.
    assert {0x0072B2, 0xD55E00, 0xE69F00} <= visit.colours()


def test_a_page_that_asks_for_something_would_be_caught(chromium: str, tmp_path: Path) -> None:
    page = b"<!doctype html><img src='http://outside.invalid/x.png'><script>console.error('said')</script>"
    with served({"/report.html": page}) as (address, _):
        visit = Visit(chromium, f"{address}/report.html", tmp_path, (600, 600))
    assert "http://outside.invalid/x.png" in visit.asked_by_page
    assert len(visit.console) == 1


def test_the_page_is_dark_where_the_reader_likes_it_dark(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(render_page(runs.recorded()))
    visit = Visit(chromium, page.as_uri(), tmp_path, (1200, 1200), "--blink-settings=preferredColorScheme=0")
    assert visit.console == []
    assert {0x15191D, 0x6FC0EE, 0xFF8A3D} <= visit.colours()
    assert visit.pixels.mean() < 60


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: str, tmp_path: Path) -> None:
    pages = {"/report.html": render_page(runs.poisoned("a" * 200)), "/phone.html": PHONE.encode()}
    with served(pages) as (address, _):
        visit = Visit(chromium, f"{address}/phone.html", tmp_path, (500, 3000))
    said = re.search(r'<p id="said">(.*?)</p>', visit.document)
    assert said is not None
    assert json.loads(unescape(said[1])) == {"wide": 390, "inner": 390, "pictures": ["none", "block"]}


def test_an_attack_stays_text_in_a_browser(chromium: str, tmp_path: Path) -> None:
    with served({"/report.html": render_page(runs.poisoned(ATTACK))}) as (address, asked):
        visit = Visit(chromium, f"{address}/report.html", tmp_path, (1200, 1200))
    assert visit.console == []
    assert asked == ["/report.html"]
    assert "<script" not in visit.document
    assert "<img" not in visit.document
    assert ATTACK in visit.text
