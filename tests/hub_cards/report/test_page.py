"""The page in a real browser, from the file system: read back, clicked, typed, measured."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub_cards.report.anew import anew, wilson
from tests.hub_cards.report.running import HOSTILE, HOSTILE_ITEMS, ITEMS, TASKS

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = playwright.expect  # it waits; wait_for_function would, too, but by eval, which the page forbids
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: install Debian's chromium"),
]
VIEWS = ("leaderboard", "students", "comparisons", "samples", "method")

# The lowest contrast of text that is seen, with that text; for AA it must be 4.5.
CONTRAST = """() => {
  const parse = (text) => {
    const numbers = text.match(/-?[\\d.]+(?:e-?\\d+)?/g).map(Number);
    const scale = text.startsWith("color(") ? 1 : 255;
    return [...numbers.slice(0, 3).map((one) => one / scale), numbers[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const over = (top, under) => under.map((one, place) => top[place] * top[3] + one * (1 - top[3]));
  const ground = (element) => {
    if (!element) return [1, 1, 1];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
  };
  let worst = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter((one) => one.nodeType === 3);
    const text = own.map((one) => one.data).join("").trim();
    if (!text || !element.checkVisibility()) continue;
    if (element.closest(":disabled") || element.matches("option, .sr")) continue;
    const style = getComputedStyle(element);
    const under = ground(element);
    const ink = over(parse(element instanceof SVGElement ? style.fill : style.color), under);
    const [dark, bright] = [light(ink), light(under)].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < worst[0]) worst = [contrast, text.slice(0, 40)];
  }
  return worst;
}"""
# Texts that are cut off or lie on one another.
CLIPPED = """() => [...document.querySelectorAll("main section.shown *, header *")]
  .filter((one) => one.checkVisibility() && !one.closest(".scroll, select, nav, svg, .sr, #sample-list")
    && one.getBoundingClientRect().width > 0
    && (one.getBoundingClientRect().right > innerWidth + 1 || one.getBoundingClientRect().left < -1))
  .filter((one) => !one.matches(".skip"))
  .map((one) => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any, made: Path) -> Iterator[Any]:
    """The page as a reader opens it; at the end there was no request but for the file, and no complaint."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = (made / "index.html").as_uri()
    page.goto(f"{address}#leaderboard")
    yield page
    page.close()
    assert [url for url in requests if url.partition("#")[0] != address] == []
    assert complaints == []


def line(page: Any, student: str) -> Any:
    return page.locator("#board tbody tr", has=page.get_by_text(student, exact=True))


def test_the_leaderboard_shows_what_the_samples_say(opened: Any, results: dict[str, Path]):
    assert opened.locator("#board tr.group").count() == 3  # one judge here, and the two papers' protocols
    for student in ("before", "after", "hostile"):
        found = anew(results[student], "skillmix_k2")
        known = found.known
        low, high = wilson(sum(known), len(known))
        text = line(opened, student).locator("td").first.inner_text()
        assert text.split()[0].rstrip("!") == f"{sum(known) / len(known):.2f}"
        assert f"{low:.2f}–{high:.2f}" in text
        mark = line(opened, student).locator("td .caveat")
        assert mark.count() == (len(known) < len(found.full))
        if mark.count():
            mark.click()
            text = opened.locator("#caveat").inner_text()
            assert f"{len(known)} of {len(found.full)} items have a verdict" in text
            assert f"between {found.low:.2f} and {found.high:.2f}" in text
            opened.keyboard.press("Escape")
    assert line(opened, "GPT-4").locator("td .value").all_inner_texts() == ["0.95", "0.66", "0.48", "0.12", "0.08"]
    opened.locator("header .caveat").click()
    assert "do not trust its scores" in opened.locator("#caveat").inner_text()


def test_it_opens_on_the_comparison_of_before_and_after(opened: Any):
    opened.goto(opened.url.partition("#")[0])
    assert opened.locator("#comparisons").is_visible()
    heading = opened.locator("#headline").inner_text()
    assert heading.startswith("3 students · k = 2 and 3 · pack language · judged by judge-1 · ")
    table = opened.locator("#pairs")
    assert table.locator("thead th").all_inner_texts()[2:4] == ["before", "after"]
    assert opened.locator("#comparisons .plot[data-rows] svg .point").count() == 2 * len(TASKS)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_shows_title_rows_with_error_bars_and_the_plot(opened: Any, width: int, height: int):
    opened.set_viewport_size({"width": width, "height": height})
    # The plot is drawn anew for the width.
    opened.wait_for_function(
        "document.querySelector('#board-plot .canvas svg').getBoundingClientRect().right <= innerWidth"
    )
    shown = ["h1", "#headline", "#board-plot .canvas svg", "#board-caption", "#board tr[data-row] .range >> nth=2"]
    for one in shown:
        box = opened.locator(one).bounding_box()
        assert box, one
        assert box["y"] + box["height"] <= height, one
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width, one
    widths = {round(box.bounding_box()["width"]) for box in opened.locator("#board thead th").all()[1:]}
    assert max(widths) - min(widths) <= 1  # a cell with a note is as wide as its neighbours


def test_lines_are_switched_and_read_by_pointing(opened: Any):
    lines = opened.locator("#board-plot g[data-line]")
    assert lines.count() == 3
    opened.locator("#board-plot .legend button").first.click()
    assert lines.count() == 2
    opened.locator("#board-plot .canvas svg").hover()
    tip = opened.locator("#board-plot .tip")
    expect(tip).to_be_visible()
    assert re.match(r"k = [23]\b", tip.inner_text())


def test_an_address_holds_every_state(opened: Any):
    opened.click("#board tr[data-row] a.value >> nth=0")
    assert "#samples?student=" in opened.url
    assert "task=skillmix_k2" in opened.url
    opened.locator("#sample-list button").nth(2).click()
    opened.keyboard.press("ArrowRight")
    expect(opened.locator("#sample-list button").nth(3)).to_have_attribute("aria-current", "true")
    opened.select_option("#sample-controls [name=beside]", index=1)
    expect(opened.locator("#sample .both > div")).to_have_count(2)
    opened.click("#theme")
    kept, theme = opened.url, opened.locator("html").get_attribute("data-theme")
    text = opened.locator("#sample").inner_text()
    opened.goto("about:blank")
    opened.goto(kept)
    expect(opened.locator("#sample .both > div")).to_have_count(2)
    assert opened.locator("#sample").inner_text() == text
    assert opened.locator("html").get_attribute("data-theme") == theme
    opened.go_back()


def test_text_is_searched_in_answers(opened: Any):
    opened.click("nav a[href='#samples']")
    opened.fill("#sample-controls [name=text]", "onerror")
    expect(opened.locator("#place")).to_have_text(re.compile(f"^{HOSTILE_ITEMS} of "))


def test_a_lost_vote_keeps_its_place(opened: Any):
    opened.click("nav a[href='#samples']")
    opened.select_option("#sample-controls [name=outcome]", "none")
    expect(opened.locator("#sample div > p").first).to_have_text(re.compile("^hostile"))
    for table in opened.locator("#sample .points").all():
        votes = [text.split() for text in table.locator(".votes").all_inner_texts() if text != "code"]
        assert len({len(one) for one in votes}) == 1  # each vote has its place on every point
        assert "?" in votes[0]
        assert {mark for one in votes for mark in one} <= {"?", "+", "−"}
    assert set(opened.locator("#sample tr:has(th:text-is('length')) .votes").all_inner_texts()) == {"code"}


def test_without_javascript_the_leaderboard_is_there(browser: Any, made: Path):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto((made / "index.html").as_uri())
    assert page.locator("select:visible, nav:visible, figure:visible, #in-pairs:visible").count() == 0
    text = page.locator("#board").inner_text()
    assert all(name in text for name in ("before", "after", "hostile", "GPT-4", "k = 2"))
    changed = page.get_by_role("region", name="Change by training")
    assert changed.locator("tbody tr").count() == len(TASKS)
    page.close()


def test_print_shows_the_view_without_controls(opened: Any):
    opened.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    opened.click("nav a[href='#comparisons']")
    opened.emulate_media(media="print")
    assert opened.locator("section:visible").count() == 1
    assert opened.evaluate("document.documentElement.scrollWidth") <= 718
    assert opened.evaluate(CLIPPED.replace(".scroll, ", "")) == []
    opened.emulate_media(media="screen")
    opened.click("nav a[href='#leaderboard']")
    opened.emulate_media(media="print")
    assert opened.locator("#board td small").first.is_visible()  # the intervals
    assert opened.locator("#board").is_visible()
    assert opened.locator("form:visible, nav:visible, section:visible").count() == 1
    assert opened.locator("#leaderboard .scroll").evaluate("one => getComputedStyle(one).overflowX") == "visible"


def test_sort_and_filter(opened: Any):
    def order() -> list[str]:
        return list(opened.locator("#board tbody").nth(1).locator("bdi").all_inner_texts())

    assert order()[0] == "GPT-4"
    opened.locator("#board button[data-sort='2']").click()
    assert opened.locator("#board th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert order()[-1] == "GPT-4"
    opened.locator("#board button[data-sort=student]").click()
    assert [name for name in order() if "LLaMA" in name] == [f"LLaMA-2-{size}B-Chat" for size in (7, 13, 70)]
    opened.click("#board-controls summary")
    opened.select_option("[name=source]", "measured")
    assert opened.locator("#board bdi").count() == 3
    opened.select_option("#board-controls [name=split]", "heldout")
    assert opened.locator("#board bdi").count() == 2
    opened.select_option("[name=source]", "published")
    assert "LLaMA-2-13B-Chat + D(1,2,3)" in opened.locator("#board bdi").all_inner_texts()


def test_groups_are_ranked_together_only_if_asked_and_marked_then(opened: Any):
    assert opened.locator("#board tbody").count() == 3
    assert opened.locator("#board .badge").count() == 0
    opened.click("#board-controls summary")
    opened.get_by_label("Rank all together").check()
    assert opened.locator("#board tbody").count() == 1
    assert opened.locator("#board .badge").count() == opened.locator("#board bdi").count()
    assert "this order is not a finding" in opened.locator("#board-words").inner_text()


def test_samples_are_found_and_show_turns_votes_and_quotes(opened: Any, results: dict[str, Path]):
    opened.click("nav a[href='#samples']")
    total = 2 * len(TASKS) * ITEMS + HOSTILE_ITEMS
    assert opened.locator("#place").inner_text().startswith(f"{total} of {total} items")
    before = opened.locator("#sample-controls [name=student] option", has_text="before").get_attribute("value")
    opened.select_option("#sample-controls [name=student]", before)
    opened.select_option("#sample-controls [name=outcome]", "full")
    full = sum(sum(anew(results["before"], task).known) for task in TASKS)
    assert opened.locator("#place").inner_text().startswith(f"{full} of {total} items")
    opened.locator("#sample-list button").nth(1).click()
    article = opened.locator("#sample")
    expect(article.locator("div > p").first).to_have_text(re.compile("full marks$"))
    assert article.locator("h4").count() == 3
    assert article.locator("h4 .badge").count() == 1
    article.locator(".points button").first.click()
    quotes = article.locator("tr.chosen .quote div").all_inner_texts()
    marked = article.locator("mark").all_inner_texts()
    assert quotes
    assert all(any(quote.strip("“”") in text for text in marked) for quote in quotes)
    assert article.locator("summary").first.inner_text() == "What the student was asked"
    article.locator("summary").nth(1).click()
    assert article.locator(".answer.turn:visible").first.inner_text().startswith("Answer:")


def test_comparisons_and_training(opened: Any):
    opened.click("nav a[href='#comparisons']")
    assert opened.locator("#pairs tbody tr").count() == len(TASKS)
    first = opened.locator("#pairs tbody tr").first.locator("td").all_inner_texts()
    opened.select_option("#pair-controls [name=first]", label="after")
    opened.select_option("#pair-controls [name=second]", label="before")
    turned = opened.locator("#pairs tbody tr").first.locator("td").all_inner_texts()
    assert (turned[1], turned[2]) == (first[2], first[1])
    assert "Compositional gap" in opened.locator("#comparisons").inner_text()


def test_hostile_text_is_shown_and_does_nothing(opened: Any):
    opened.click("nav a[href='#samples']")
    hostile = opened.locator("#sample-controls [name=student] option", has_text="hostile").get_attribute("value")
    opened.select_option("#sample-controls [name=student]", hostile)
    opened.locator("#sample-list button").first.click()
    expect(opened.locator("#sample div > p").first).to_have_text(re.compile("^hostile"))
    shown = opened.locator("#sample .answer:not(.turn)").first.inner_text()
    wanted = HOSTILE.removeprefix("Answer: ").strip()
    assert shown.strip() == wanted.replace("\u202e", "").replace("\u202c", "")  # the answer that was judged
    opened.locator("#sample summary").nth(1).click()
    turn = opened.locator("#sample .answer.turn:visible").first.inner_text()
    assert wanted.replace("\u202e", "U+202E").replace("\u202c", "U+202C") in turn
    assert opened.evaluate("window.hacked") is None
    assert opened.locator("#sample script, #sample img, #sample style").count() == 0
    assert "\u202e" not in opened.locator("body").inner_text()
    for view in VIEWS:
        opened.click(f"nav a[href='#{view}']")
        assert opened.locator(f"#{view}").is_visible()


def test_everything_is_reached_by_keyboard(opened: Any):
    def tab_to(condition: str) -> None:
        for _ in range(60):
            opened.keyboard.press("Tab")
            if opened.evaluate(f"document.activeElement.matches({condition!r})"):
                return
        pytest.fail(f"no way by Tab to {condition}")

    tab_to(".skip")
    tab_to("#theme")
    before = opened.evaluate("document.documentElement.dataset.theme")
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.documentElement.dataset.theme") != before
    tab_to("#board button[data-sort='3']")
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"
    opened.locator("nav a[href='#samples']").focus()
    opened.keyboard.press("Enter")
    tab_to("#sample-list button")
    opened.keyboard.press("Enter")
    expect(opened.locator("#sample")).to_be_focused()
    tab_to("#sample .points button")
    opened.keyboard.press("Space")
    assert opened.locator("#sample mark").count() > 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_nothing_is_cut_off_and_axe_finds_nothing(opened: Any, width: int, scheme: str):
    opened.set_viewport_size({"width": width, "height": 844})
    opened.emulate_media(color_scheme=scheme)
    expect(opened.locator("html")).to_have_attribute("data-theme", scheme)
    for view in VIEWS:
        opened.click(f"nav a[href='#{view}']")
        if view == "samples":
            opened.locator("#sample .points button").first.click()
        contrast, text = opened.evaluate(CONTRAST)
        assert contrast >= 4.5, (view, text)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, view
        assert opened.evaluate(CLIPPED) == [], view
        found = axe.Axe().run(opened)
        assert found.violations_count == 0, (view, found.generate_report())
