"""A real browser without a window, for pages that molmp writes; tests that need one are skipped where there is none."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


def run_in_browser(page: str, folder: Path, script: str = "", width: int = 800) -> tuple[str, list[str]]:
    """Open a page, run ``script`` after it has loaded; return what the script wrote to ``out`` and the errors."""
    path = folder / "page.html"
    extra = f"<script>{{let out = ''; {script}; document.body.dataset.out = out}}</script></body>"
    path.write_text(page.replace("</body>", extra), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "ERR_" in line]
    found = re.search(r'<body[^>]*data-out="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return html.unescape(found[1]), errors
