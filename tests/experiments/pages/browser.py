"""Opens pages in a browser, where there is one."""

import html
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest

WIDTHS = (390, 1280)  # a phone's and a desktop's

# Reports, for pages in frames of given widths, the width of their content and what sticks out on the right.
_PROBE = """<script>
window.onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const root = frame.contentDocument.documentElement;
    const out = [...root.querySelectorAll("main *")].filter(
      element => element.getBoundingClientRect().right > root.clientWidth + 0.5);
    return {width: root.clientWidth, content: root.scrollWidth, out: out.map(element => element.outerHTML.slice(0, 80))};
  });
  document.body.innerHTML = "<pre>" + JSON.stringify(found).replaceAll("<", "&lt;") + "</pre>";
};
</script>"""


def read(folder: pathlib.Path, body: str, tag: str) -> Any:
    """Open a page with a body in Chromium; return the JSON that its scripts leave in the one element with a tag."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    path = folder / "opened.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{body}</body>')
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    command = [browser, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(html.unescape(re.search(f"<{tag}>(.*)</{tag}>", done.stdout)[1]))


def widths(folder: pathlib.Path, *pages: str) -> Any:
    """Open pages at each of `WIDTHS`; return for each the width, that of its content and what sticks out."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page, quote=True)}"></iframe>'
        for page in pages
        for width in WIDTHS
    )
    return read(folder, frames + _PROBE, "pre")
