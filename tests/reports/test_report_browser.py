"""The page as a reader meets it: in headless Chromium, from disk, with the network off."""

import pytest
from record_factory import curve, failed, profile, record, skipped
from webdriver import MISSING, Browser

from reports.build import write_report

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "there is a browser")

HOSTILE = '"><img src=x onerror="document.title=1"><script>document.title=2</script>'
METHODS = ("pn", "nnpu", "upu", "naive", "biased", "spies", "bagging", "costly", "slow")
TAB, ENTER = "\ue004", "\ue007"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    records = []
    for index, method in enumerate(METHODS):
        for seed in range(5):
            curves = {"risk": curve([1.0, 0.5, 0.2 + seed / 50])}
            # The best are the slowest: sorting by latency turns the order round.
            costs = profile(20.0 - 2 * index, 1e6 * (index + 1))
            error = 5.0 + 3 * index + (seed * (index + 2) % 5) / 10
            records.append(record(method, seed, error=error, costs=costs, curves=curves))
    records += [failed("hangs", message=HOSTILE, traceback="x" * 3000), skipped("absent"), record(HOSTILE, error=90.0)]
    return write_report(records, tmp_path_factory.mktemp("report"), "A report " + "with a long title " * 10, {}).index


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


def order(browser):
    return browser.run("return [...document.querySelectorAll('.leaderboard tbody .name')].map(e => e.textContent)")


def sort_state(browser):
    return browser.run("return [...document.querySelectorAll('[aria-sort]')].map(e => e.getAttribute('aria-sort'))")


def focus(browser, title):
    browser.run(
        "[...document.querySelectorAll('.leaderboard .sort')]"
        f".find(e => e.textContent.startsWith('{title}')).focus({{focusVisible: true}})"
    )


def test_the_page_opens_without_a_console_error_or_a_request(browser, page):
    browser.open(page)
    assert browser.console() == []
    assert browser.run("return performance.getEntriesByType('resource').map(e => e.name)") == []


def test_a_hostile_name_runs_nothing(browser, page):
    browser.open(page)
    assert browser.run("return document.title").startswith("A report")
    assert browser.run("return document.images.length") == 0
    assert browser.run("return [...document.scripts].filter(e => e.type !== 'application/json').length") == 1


def test_the_policy_of_the_page_stops_a_script_that_got_in(browser, page):
    # A script put in by hand stands for markup that escaped the escaping.
    browser.open(page)
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'document.title = 3'; document.body.append(s)"
    )
    assert browser.run("return document.title").startswith("A report")
    assert any("Content Security Policy" in entry for entry in browser.console())


def test_a_click_on_a_header_sorts_and_a_second_one_turns_it_round(browser, page):
    browser.open(page)
    assert order(browser)[:2] == ["pn", "nnpu"]
    click = (
        "[...document.querySelectorAll('.leaderboard .sort')].find(e => e.textContent.startsWith('latency')).click()"
    )
    browser.run(click)
    assert order(browser)[:2] == ["slow", "costly"]
    assert sort_state(browser) == ["ascending"]
    browser.run(click)
    assert order(browser)[:2] == ["pn", "nnpu"]
    assert sort_state(browser) == ["descending"]


def test_rows_without_a_value_stay_last_whichever_way_one_sorts(browser, page):
    browser.open(page)
    click = (
        "[...document.querySelectorAll('.leaderboard .sort')].find(e => e.textContent.startsWith('latency')).click()"
    )
    for _ in range(2):
        browser.run(click)
        assert {"hangs", "absent"} <= set(order(browser)[-3:])


def test_the_keyboard_alone_sorts(browser, page):
    browser.open(page)
    focus(browser, "error")
    browser.press(TAB)
    assert browser.run("return document.activeElement.textContent").startswith("latency")
    browser.press(ENTER)
    assert order(browser)[:2] == ["slow", "costly"]
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_filter_leaves_the_rows_with_all_its_words(browser, page):
    browser.open(page)
    browser.run("document.querySelector('#trials input').focus()")
    browser.press(*"upu 3")
    shown = browser.run("return [...document.querySelectorAll('.trials tbody tr')].filter(r => !r.hidden).length")
    told = browser.run("return document.querySelector('#trials [role=status]').textContent")
    text = browser.run(
        "return [...document.querySelectorAll('.trials tbody tr')].map(r => r.textContent.toLowerCase())"
    )
    assert shown == sum("upu" in row and "3" in row for row in text)
    assert 0 < shown < len(text)
    assert told == f"{shown} of {len(text)} rows"


def headers(browser):
    """Columns and groups that can be seen, with the groups' spans."""
    return browser.run(
        "const [groups, columns] = document.querySelector('.leaderboard').tHead.rows;"
        "return [[...columns.cells].filter(e => !e.hidden && e.dataset.column).map(e => e.dataset.column),"
        " [...groups.cells].filter(e => !e.hidden && e.textContent).map(e => [e.textContent, e.colSpan])]"
    )


def test_columns_can_be_hidden_by_keyboard_and_their_group_shrinks_with_them(browser, page):
    browser.open(page)
    columns, groups = headers(browser)
    assert "latency" in columns
    # latency, throughput, MACs, parameters, peak memory, energy
    assert ["Cost of one solution", 6] in groups
    browser.run("document.querySelector('.columns summary').focus()")
    browser.press(ENTER, TAB, TAB, " ")
    columns, groups = headers(browser)
    assert "latency" not in columns
    assert ["Cost of one solution", 5] in groups
    shown = browser.run(
        "return [...document.querySelector('.leaderboard tbody tr').cells].filter(e => !e.hidden).length"
    )
    # Rank, method and seeds are always there.
    assert shown == 3 + len(columns)


def test_hidden_columns_stand_in_the_address_alone(browser, page):
    browser.open(page)
    browser.run("document.querySelectorAll('.columns input')[1].click()")
    address = browser.run("return location.hash")
    assert address == "#hide=board-1:latency"
    assert browser.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    browser.run("location.reload()")
    assert "latency" not in headers(browser)[0]
    assert browser.run("return document.querySelectorAll('.columns input')[1].checked") is False
    browser.run("document.querySelectorAll('.columns input')[1].click()")
    assert browser.run("return location.hash") == ""
    assert "latency" in headers(browser)[0]


def test_nonsense_in_the_address_hides_nothing_and_breaks_nothing(browser, page):
    browser.open(page)
    browser.run("location.hash = '#hide=board-1:%E0%A4%A,nothing;x:;&hide=:::'; location.reload()")
    assert "latency" in headers(browser)[0]
    assert browser.run("return document.querySelectorAll('.sort').length") > 0
    assert browser.console() == []


def picked(browser):
    return browser.run("return [...document.querySelectorAll('.pick:checked')].map(e => e.getAttribute('aria-label'))")


def comparison(browser):
    return browser.run(
        "return [...document.querySelectorAll('.comparison tr')].map(r => [...r.cells].map(c => c.textContent))"
    )


def test_two_methods_picked_by_keyboard_are_compared_with_the_numbers_that_python_worked_out(browser, page):
    browser.open(page)
    assert browser.run("return document.querySelector('.comparison').textContent").startswith("Tick two methods")
    browser.run("document.querySelectorAll('.pick')[1].focus()")
    browser.press(" ")
    browser.run("document.querySelectorAll('.pick')[0].focus()")
    browser.press(" ")
    assert picked(browser) == ["Compare pn", "Compare nnpu"]
    head, error, latency, *_ = comparison(browser)
    assert head == ["", "pn", "nnpu", "difference", "95 % interval", "pairs", "p, uncorrected"]
    # Errors are 5 + (2 seed mod 5) / 10 and 8 + (3 seed mod 5) / 10, whose remainders have the same sum.
    assert (error[0], error[3], error[5]) == ("error (%)", "\u22123.00", "5")
    assert error[6].startswith("p ")
    assert latency == ["latency (ms)", "20.0", "18.0", "+2.00", "2.00 to 2.00", "5", ""]


def test_after_sorting_the_rows_still_pick_themselves_and_a_third_one_takes_the_place_of_the_first(browser, page):
    browser.open(page)
    browser.run(
        "[...document.querySelectorAll('.leaderboard .sort')].find(e => e.textContent.startsWith('latency')).click()"
    )
    browser.run("for (const e of [...document.querySelectorAll('.pick')].slice(-4, -1)) e.click()")
    # By latency the order is turned round: before the one without a latency stand the best three, the best last.
    assert picked(browser) == ["Compare nnpu", "Compare pn"]
    assert comparison(browser)[0][1:3] == ["pn", "nnpu"]


def test_rows_without_a_rank_cannot_be_picked(browser, page):
    browser.open(page)
    names = browser.run("return [...document.querySelectorAll('.pick')].map(e => e.getAttribute('aria-label'))")
    assert len(names) == len(METHODS) + 1
    assert not {"Compare hangs", "Compare absent"} & set(names)


def test_without_scripts_the_tables_are_whole_and_no_dead_button_stands_there(browser, page):
    browser.open(page, scripts=False)
    try:
        count = "return document.querySelectorAll('.leaderboard tbody tr').length"
        assert browser.run(count) == len(METHODS) + 3
        assert browser.run("return document.querySelectorAll('button, input').length") == 0
        assert browser.run("return document.querySelectorAll('figure svg').length") >= 3
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser, page, width):
    browser.open(page, width=width)
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(browser, page, scheme):
    browser.open(page, scheme=scheme)
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    weak = browser.run(CONTRAST)
    assert weak == []


def test_dark_and_light_differ_and_so_do_the_figures(browser, page):
    looks = []
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        looks.append(
            browser.run(
                "return [getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('figure svg path')).fill]"
            )
        )
    assert looks[0][0] == looks[0][1]
    assert looks[1][0] == looks[1][1]
    assert looks[0] != looks[1]


def test_in_print_nothing_is_cut_off_and_no_control_is_left(browser, page):
    browser.open(page)
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    try:
        shown = browser.run(
            "return [...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility())"
            ".map(e => getComputedStyle(e).overflowX)"
        )
        assert set(shown) == {"visible"}
        for control in (".filter", ".columns", ".pick", ".comparison"):
            assert browser.run(f"return document.querySelector('{control}').checkVisibility()") is False
    finally:
        browser.devtools("Emulation.setEmulatedMedia", media="")


CONTRAST = """
// WCAG 2: relative luminance of the text's colour against the first opaque background around it.
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let around = element; around; around = around.parentElement) {
    const colour = getComputedStyle(around).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
const weak = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, style")) continue;
  const style = getComputedStyle(element);
  const colour = element.closest("svg") ? style.fill : style.color;
  const [high, low] = [luminance(colour), luminance(behind(element))].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) weak.add(`${element.tagName} ${element.className} ${ratio.toFixed(2)} ${element.textContent}`);
}
return [...weak];
"""
