"""Open a page in a headless Chromium and ask it what it drew; nothing but the browser itself is needed."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PROBE = """<script>
(() => {
  const told = {errors: [], figures: {}};
  addEventListener("error", (event) => told.errors.push(String(event.message)));
  addEventListener("securitypolicyviolation", (event) => told.errors.push(event.violatedDirective + event.blockedURI));
  const wrong = console.error;
  console.error = (...words) => { told.errors.push(words.join(" ")); wrong(...words); };
  addEventListener("load", () => {
    const page = document.documentElement;
    told.width = innerWidth;
    told.overflow = page.scrollWidth - page.clientWidth;
    told.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    told.ground = getComputedStyle(document.body).backgroundColor;
    told.wide = [...document.querySelectorAll("body *")].filter((item) =>
      !item.closest(".scroll, svg") && item.getBoundingClientRect().right > innerWidth + 1).map((item) => item.tagName);
    for (const figure of document.querySelectorAll("figure")) {
      const svg = figure.querySelector("svg[role]");
      const box = svg.getBoundingClientRect();
      const marks = [...svg.querySelectorAll("g:not(.off) > .m")];
      const inside = marks.filter((mark) => {
        const at = mark.getBoundingClientRect();
        return at.width + at.height > 0 && at.left >= box.left - 1 && at.right <= box.right + 1
          && at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
      });
      const cut = [...svg.querySelectorAll("text")].filter((text) => {
        const at = text.getBoundingClientRect();
        return at.left < box.left - 1 || at.right > box.right + 1 || at.bottom > box.bottom + 1;
      }).map((text) => text.textContent);
      const found = {cut, width: box.width, height: box.height, marks: marks.length, inside: inside.length};
      const at = marks[0].getBoundingClientRect();
      const where = {clientX: at.left + at.width / 2, clientY: at.top + at.height / 2, pointerType: "mouse"};
      svg.dispatchEvent(new PointerEvent("pointermove", where));
      const tip = document.getElementById("tip");
      found.tip = tip.hidden ? "" : tip.textContent;
      found.tipInside = tip.getBoundingClientRect().right <= innerWidth && tip.getBoundingClientRect().left >= 0;
      const button = figure.querySelector("button");
      if (button) {
        const shown = () => svg.querySelectorAll("g:not(.off) > .m").length;
        const before = shown();
        button.click();
        const after = shown();
        button.click();
        found.toggled = [before, after, shown()];
      }
      told.figures[figure.id] = found;
    }
    const out = document.createElement("pre");
    out.id = "probe";
    out.textContent = JSON.stringify(told);
    document.body.append(out);
  });
})();
</script>"""


def find_browser() -> str:
    """Return the path of a headless Chromium; a test that needs one fails where there is none."""
    named = os.environ.get("FEDCREDIT_BROWSER")
    found = named if named is not None else next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None or shutil.which(found) is None:
        pytest.fail(
            f"there is no browser (FEDCREDIT_BROWSER is {named or 'not set'}; looked for {', '.join(_NAMES)}); install "
            "Debian's chromium-headless-shell, or name one in FEDCREDIT_BROWSER"
        )
    return found


def _call(page: Path, *options: str, width: int, height: int, dark: bool) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="fedcredit-browser-") as profile:
        return subprocess.run(
            [
                find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={profile}", f"--window-size={width},{height}", "--enable-logging=stderr",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=3000", *options,
                page.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip


def look(page: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """Open a page and return what it drew, and what its console said.

    Args:
        page: a report on disk.
        width: of the window, in pixels.
        dark: which colours the reader prefers.

    Returns:
        ``errors``, ``console``, ``width``, ``overflow``, ``wide``, ``dark``, ``ground`` and ``figures``.
    """
    probed = page.with_name(f"probed-{page.name}")
    text = page.read_text(encoding="utf-8")
    assert "<head>" in text
    probed.write_text(text.replace("<head>", f"<head>{_PROBE}", 1), encoding="utf-8")
    done = _call(probed, "--dump-dom", width=width, height=900, dark=dark)
    probed.unlink()
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    return {**json.loads(html.unescape(found[1])), "console": re.findall(r".*CONSOLE.*", done.stderr)}


def photograph(page: Path, picture: Path, *, width: int, height: int, dark: bool) -> None:
    """Take a screenshot.

    Args:
        page: a report on disk.
        picture: the PNG to write.
        width: of the window, in pixels.
        height: of the window, in pixels.
        dark: which colours the reader prefers.
    """
    _call(page, f"--screenshot={picture}", width=width, height=height, dark=dark)
