"""axe-core on every kind of page, light and dark: no violation of any weight.

axe-core is not part of the project. `npm install --no-save axe-core` in the project's folder puts it where this test
looks, and `ALLWIN_AXE` names an `axe.min.js` that lies elsewhere.
"""

import os
from pathlib import Path

import pytest
from record_factory import skipped
from site_factory import small_set, write_small_site
from webdriver import MISSING, Browser

from reports.build import write_report

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(os.environ.get("ALLWIN_AXE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "there is a browser"),
    pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: `npm install --no-save axe-core`, or ALLWIN_AXE"),
]

KINDS = {
    "report": "report/index.html",
    "overview": "site/index.html",
    "task": "site/tasks/toy.html",
    "method": "site/methods/toy-sample-mean.html",
    "paper": "site/papers/means.html",
    "trials": "site/trials.html",
    "environment": "site/environment.html",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    records = [*small_set(), skipped("absent")]
    write_report(records, folder / "report", "A report", {"mnist5k": "embedded"})
    write_small_site(folder / "site", records)
    found = {kind: folder / place for kind, place in KINDS.items()}
    for status in ("ok", "failed"):
        key = next(record.key for record in records if record.status == status)
        found[f"{status} trial"] = folder / "site" / "trials" / f"{key[:12]}.html"
    return found


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", [*KINDS, "ok trial", "failed trial"])
def test_axe_finds_nothing(browser, pages, kind, scheme):
    browser.open(pages[kind], scheme=scheme)
    # What a reader can unfold and pick is on the page too.
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    browser.run("[...document.querySelectorAll('.pick')].slice(0, 2).forEach(e => e.click())")
    browser.run(AXE.read_text(encoding="utf-8"))
    violations = browser.run(
        "return axe.run().then(found => found.violations.map(v =>"
        " `${v.impact}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(' | ')}`))"
    )
    assert violations == []
