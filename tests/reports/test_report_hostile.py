"""Records that try to break a page, in headless Chromium: nothing runs, nothing is asked for, nothing is torn apart."""

import pytest
from record_factory import cost, failed, record, skipped
from site_factory import write_small_site
from webdriver import MISSING, Browser

from bench.record import Accelerator, Curve, Measurement, MetricValue, not_measured
from reports.build import write_report

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "there is a browser")

TEXTS = {
    "markup": '"><img src=x onerror="alert(1)"><svg onload=alert(2)><script>alert(3)</script>',
    "script end": "</script></style></title><script>alert(4)</script><!--",
    "address": "javascript:alert(5)",
    "template": "{{ 7 * 7 }}{% raw %}${alert(6)}",
    "direction": "\u202egnp.exe\u2066\u200f\ufeff abc",
    "controls": "\x00\x07\x1b[31m\x1b]0;x\x07\x7f\x9b\u2028\u2029\ud7ff",
    "long word": "w" * 5000,
    "one megabyte": "<b>" * 350_000,
    "many lines": "line\n" * 5000,
    "marks": "Z\u0338\u0321\u0353" * 300,
    "entities": "&lt;b&gt;&#x3C;script&#x3E;",
    "empty": "",
}

STEERING = "\x7f\x9b\u2028\u2029\u202e\u2066\u200f\ufeff"


def hostile(text, seed=0, **fields):
    """Every text of a record that nothing constrains."""
    return record(
        text or "x",
        seed,
        task=text or "x",
        dataset=text or "x",
        parameters={text: text, "list": [text] * 30, "nested": {text: {text: None}}},
        settings={text: text},
        hardware=text,
        suite=text,
        metrics={text: MetricValue(value=1.0 + seed, unit=text, better="low", split=text, items=0)},
        costs={
            "latency_ms": Measurement(
                value=1.0 + seed, unit=text, instrument=text, detail={text: text, text * 2: True}
            ),
            "energy_j": not_measured("J", text or "x"),
            text: cost(1e150, text),
        },
        training={text: cost(-1e150, text)},
        curves={
            text: Curve(x=[0.0, 1.0], y=[None, 1e150], x_name=text, unit=text, origin="fit"),
            f"{text}2": Curve(x=[0.0], y=[None], x_name=text, unit=text, origin="evaluate"),
            f"{text}3": Curve(x=[], y=[], x_name=text, unit=text, origin="evaluate"),
        },
        command=text,
        git_commit=text,
        packages={text: text},
        platform=text,
        cpu=text,
        python=text,
        accelerator=Accelerator(name=text, memory_bytes=0, driver=text),
        flags={text: text},
        data_fingerprint=text,
        ended=text,
        **fields,
    ).model_copy(
        update={
            "artefacts": {text: {text: [text, None]}},
            "workload": text,
            "seeds": {text: 2**62},
            "stage_s": {text: 0.0},
            "parts": {text: text},
            "started": text,
        }
    )


def store_of(text):
    records = [hostile(text, seed) for seed in range(2)]
    records.append(failed(text or "x", 3, message=text, traceback=text, task=text or "x", dataset=text or "x"))
    return [*records, skipped("absent", message=text), record("plain", metrics={}, costs={}, parameters={})]


@pytest.fixture(scope="module", params=list(TEXTS))
def pages(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    text = TEXTS[request.param]
    records = store_of(text)
    one = write_report(records, folder / "report", text, {text or "x": text}).index
    return [one, *write_small_site(folder / "site", records, text)]


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


def test_nothing_runs_and_nothing_is_asked_for(browser, pages):
    for page in pages:
        # An alert would make the next command an error.
        browser.open(page)
        assert browser.console() == [], page
        found = browser.run(
            "return [performance.getEntriesByType('resource').length, document.images.length,"
            " [...document.scripts].filter(e => e.type !== 'application/json').length,"
            " document.querySelectorAll('iframe, object, embed, form, base, meta[http-equiv=refresh]').length,"
            " [...document.links].filter(e => e.protocol !== 'file:').length,"
            " [...document.querySelectorAll('*')]"
            ".filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length]"
        )
        assert found == [0, 0, 1, 0, 0, 0], page


def test_the_page_is_whole_and_fits_a_phone(browser, pages):
    for page in pages:
        browser.open(page, width=390)
        browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
        browser.run("[...document.querySelectorAll('.pick')].slice(0, 2).forEach(e => e.click())")
        assert browser.run("return document.documentElement.scrollWidth") <= 390, page
        assert browser.run("return document.querySelectorAll('main').length") == 1, page
        assert browser.run("return document.body.lastElementChild.tagName") == "SCRIPT", page
        assert browser.run("return document.querySelector('footer').textContent").startswith("Latest record:"), page


def test_no_character_that_turns_text_round_or_steers_a_terminal_is_left(pages):
    for page in pages:
        source = page.read_text(encoding="utf-8")
        assert not {c for c in source if (c < " " and c != "\n") or c in STEERING}, page


def test_no_page_is_larger_than_150_kilobytes(pages):
    assert max(page.stat().st_size for page in pages) < 150_000
