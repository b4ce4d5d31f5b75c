"""The page in a browser: widths, light and dark, the keyboard, and what assistive software reads.

`accessibility` below checks what axe would, as far as this page has it: names, labels, landmarks,
headings, tables and contrast. With axe-core's file in SEGMENTFLOW_AXE, as `nox -s browser` fetches
it, axe checks every page too.
"""

from __future__ import annotations

import os
import re
import threading
from itertools import product
from pathlib import Path

import pytest

import chromium as browser
from console_world import a_world
from segmentflow_cli.console_server import ConsoleServer
from segmentflow_console import LocalConsole, Operator
from segmentflow_core.testing import FixedClock
from segmentflow_memory import MemoryStorage

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        browser.PROGRAM is None,
        reason="Chromium is not installed: the page is NOT TESTED in a browser",
    ),
]

SCREENS = {
    "desktop": (1280, False),
    "phone": (390, False),
    "desktop, dark": (1280, True),
    "phone, dark": (390, True),
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Serve the page, let the browser in, and give the tab, the world and the address."""
    clock = FixedClock()
    world = a_world(MemoryStorage(), clock)
    operator = Operator("carol", ["read", "act", "erase"])
    with ConsoleServer(0) as server, browser.chromium(tmp_path_factory.mktemp("chromium")) as tab:
        page = LocalConsole(world.tracker, operator, port=server.server_port, clock=clock)
        server.show(page)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            tab.open(server.url_of(page))
            yield tab, world, server.url_of(page).partition("/sign-in")[0]
        finally:
            server.shutdown()
            thread.join()


def paths(world):
    return [
        "/",
        "/people",
        f"/people/{world.alex}",
        f"/people/{world.alex}/erase",
        f"/events/{world.order}",
        "/journeys",
        "/journeys/show?id=order-confirmation",
        "/queue",
        "/enrollments",
        f"/enrollments/{world.dead}",
        "/record",
        "/nowhere",
    ]


ACCESSIBILITY = r"""
(() => {
  const faults = [];
  const all = selector => [...document.querySelectorAll(selector)];
  const text = element => (element.getAttribute('aria-label') || element.textContent).trim();
  const seen = element => element.checkVisibility() && element.getClientRects().length > 0;
  if (!document.documentElement.lang || !document.title) faults.push('language or title');
  if (all('main').length !== 1 || all('h1').length !== 1) faults.push('one main, one h1');
  const ids = all('[id]').map(each => each.id);
  if (new Set(ids).size !== ids.length) faults.push('an id twice');
  for (const name of ['aria-labelledby', 'aria-describedby'])
    for (const each of all(`[${name}]`))
      for (const id of each.getAttribute(name).split(' '))
        if (!document.getElementById(id)) faults.push(`${name} ${id}`);
  let level = 0;
  for (const each of all('h1, h2, h3')) {
    if (+each.tagName[1] > level + 1) faults.push(`heading ${text(each)}`);
    level = +each.tagName[1];
  }
  for (const each of all('a, button, summary'))
    if (!text(each)) faults.push(`no name ${each.outerHTML}`);
  for (const each of all('input:not([type=hidden]), select'))
    if (!each.labels.length) faults.push(`no label ${each.name}`);
  for (const each of all('svg:not([aria-hidden])'))
    if (each.getAttribute('role') !== 'img' || !each.hasAttribute('aria-labelledby'))
      faults.push('picture without a name');
  for (const each of all('table')) {
    if (!each.caption) faults.push('table without caption');
    for (const th of each.querySelectorAll('th')) if (!th.scope) faults.push('th without scope');
  }
  for (const each of all('nav'))
    if (!each.getAttribute('aria-label')) faults.push('nav without name');
  for (const each of all('pre, .scroll')) if (each.tabIndex !== 0) faults.push('no way to scroll');

  const parse = color => (color.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, n) => sum + each * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let looked = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(element)) continue;
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const ratio = contrast(parse(ink), behind(element));
    looked += 1;
    if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)} of ${text(element).slice(0, 40)}`);
  }
  for (const each of all('.bar'))
    if (contrast(parse(getComputedStyle(each).fill), behind(each)) < 3)
      faults.push('a bar is pale');
  if (looked < 5) faults.push('no text was looked at');
  return [...new Set(faults)];
})()
"""


def test_every_page_fits_the_screen_and_is_accessible(shown):
    tab, world, address = shown
    axe = os.environ.get("SEGMENTFLOW_AXE")
    for (screen, (width, dark)), path in product(SCREENS.items(), paths(world)):
        tab.screen(width, dark=dark)
        tab.open(address + path)
        assert tab.run("document.styleSheets[0].cssRules.length") > 50
        assert tab.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width], (
            screen,
            path,
        )
        background = tab.run("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", background)[0]) < 60) is dark
        tab.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert tab.run("document.documentElement.scrollWidth") == width, (screen, path)
        assert tab.run(ACCESSIBILITY) == [], (screen, path)
        if axe:
            tab.run(Path(axe).read_text(encoding="utf-8") + "; 0")
            found = (
                "axe.run().then(all => all.violations.map(each => [each.id, each.nodes[0].html]))"
            )
            assert tab.run(found) == [], (screen, path)


def focused(tab):
    return tab.run(
        "(() => { const at = document.activeElement;"
        " return (at.labels?.[0]?.innerText || at.innerText || at.id).trim() })()"
    )


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(shown):
    tab, world, address = shown
    tab.screen(1280)
    tab.open(f"{address}/people/{world.alex}/erase")
    order = []
    for _ in range(12):
        tab.press("Tab", 9)
        outline = tab.run(
            "(() => { const at = getComputedStyle(document.activeElement);"
            " return [at.outlineStyle, parseFloat(at.outlineWidth) >= 2] })()"
        )
        assert outline == ["solid", True], focused(tab)
        order.append(focused(tab))
    assert order == [
        "Skip to the content",
        "segmentflow",
        "Overview",
        "People",
        "Journeys",
        "Queue",
        "Record",
        world.alex,
        "Refuse events with her identities from now on",
        "Write erase to confirm",
        "Erase for good",
        "Cancel",
    ]


def test_everything_is_done_by_keyboard_without_scripts(shown):
    tab, world, address = shown
    tab.screen(390)
    tab.do("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(f"{address}/people/{world.alex}")
        for wanted in ("Suppress", "Suppress"):
            while focused(tab) != wanted:
                tab.press("Tab", 9)
            with tab.loading():
                tab.press("Enter", 13)
        assert tab.run("document.querySelector('[role=status]').innerText").startswith(
            "She is suppressed"
        )
    finally:
        tab.do("Emulation.setScriptExecutionDisabled", value=False)
    (record,) = world.tracker.records.audit(limit=1)
    assert (record.action, record.by) == ("profile_suppressed", "carol")
    cookies = tab.do("Network.getCookies", urls=[address])["cookies"]
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
