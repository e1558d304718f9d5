"""The viewer of attention in the browser, on the small Korean BERT of the repository."""

import re
from urllib.parse import quote

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import bert_jax
from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from bert_jax.inspection.attention import attention
from tests.explorer.conftest import DESKTOP, ENCODER, PHONE, resize, screenshot, wait
from tests.explorer.elements import query, query_all, texts

TEXT, SECOND = "이 영화는 정말 재미있게 봤습니다.", "다시 보고 싶은 영화."
WORDS = ["[CLS]", "이", "영화는", "정말", "재미있게", "봤습니다", ".", "[SEP]"]


@pytest.fixture(scope="module")
def found():
    return attention(bert_jax.load(ENCODER), TEXT, SECOND)


def open_page(browser, served, second=SECOND, **state):
    """Open the view on a text, or a pair."""
    state = {"text": TEXT, "second": second, **state}
    query = "&".join(f"{name}={quote(value)}" for name, value in state.items())
    browser.get("about:blank")
    browser.get(f"{served(ENCODER)}#attention?{query}")
    wait(browser, lambda: query_all(browser, ".attention .large h2"))


def readout(browser):
    return texts(browser, ".readout")[0]


def title(browser):
    return texts(browser, ".large h2")[0]


def word(browser, side, index):
    return query(browser, f".word-of[data-side='{side}'][data-index='{index}']")


def numbers(browser, side):
    return texts(browser, f".word-of[data-side='{side}'] .weight")


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def test_a_word_shows_where_it_looks_and_who_looks_at_it(browser, served, found):
    open_page(browser, served)
    screenshot(browser, "attention")
    maps = query_all(browser, ".map")
    assert len(maps) == 2 * (1 + 2)  # each layer: the mean, and two heads
    assert title(browser) == "Layer 1 · mean of all heads"
    maps[5].click()
    assert title(browser) == "Layer 2 · head 2"
    word(browser, "rows", 2).click()
    weights = found.weights[1, 1]
    best = np.argsort(-weights[2])[0]
    line = texts(browser, ".readout p")[0]
    assert line.startswith(f"“영화는” looks at: {found.tokens[best]} {weights[2, best]:.2f}")
    best = np.argsort(-weights[:, 2])[0]
    line = texts(browser, ".readout p")[1]
    assert line.startswith(f"Who looks at “영화는”: {found.tokens[best]} {weights[best, 2]:.2f}")
    for side, given in (("columns", weights[2]), ("rows", weights[:, 2])):
        shown = [float(x or 0) for x in numbers(browser, side)]
        np.testing.assert_allclose(shown, given, atol=0.0051)
    lines = query_all(browser, ".lines line")
    assert len(lines) == sum(w >= 0.005 for w in [*weights[2], *np.delete(weights[:, 2], 2)])
    assert re.search(r"head=2\.2&word=r3", browser.current_url)
    screenshot(browser, "attention_word")
    word(browser, "rows", 2).click()  # once more: no word is chosen
    ActionChains(browser).move_to_element(query(browser, ".large h2")).perform()
    wait(browser, lambda: readout(browser).startswith("Choose a word"))


def test_numbers_appear_under_the_pointer(browser, served):
    open_page(browser, served)
    ActionChains(browser).move_to_element(word(browser, "columns", 4)).perform()
    wait(browser, lambda: "Who looks at “재미있게”" in readout(browser))
    assert any(numbers(browser, "rows"))
    ActionChains(browser).move_to_element(query(browser, ".large h2")).perform()
    wait(browser, lambda: not any(numbers(browser, "rows")))


def test_a_pair_is_two_groups(browser, served, found):
    open_page(browser, served)
    groups = [x.get_attribute("data-group") for x in query_all(browser, ".lines-rows .word-of")]
    assert groups == [str(s) for s in found.segments]
    colors = {
        x.value_of_css_property("border-right-color")
        for x in query_all(browser, ".lines-rows .word-of")
    }
    assert len(colors) == 2
    last, first = word(browser, "rows", 7), word(browser, "rows", 8)
    assert first.rect["y"] > last.rect["y"] + last.rect["height"] + 10
    browser.find_element(By.XPATH, "//button[text()='Heat map']").click()
    assert len(query_all(browser, ".separator")) == 2
    # Without the second text there is one.
    query_all(browser, "textarea")[1].clear()
    query_all(browser, "textarea")[1].send_keys(" ", Keys.BACKSPACE)
    wait(browser, lambda: len(query_all(browser, ".heat-rows .heat-label")) == len(WORDS))
    assert not query_all(browser, ".separator")


def test_the_heat_map_has_the_same_numbers(browser, served, found):
    open_page(browser, served, head="2.1", **{"as": "heat"})
    assert texts(browser, ".heat-rows .heat-label") == found.tokens
    grid = query(browser, ".heat-grid")
    browser.execute_script("arguments[0].scrollIntoView({ block: 'end' })", grid)
    size = grid.rect["width"] / len(found.tokens)
    offset = [int((i + 0.5) * size - grid.rect["width"] / 2) for i in (1, 2)]
    ActionChains(browser).move_to_element_with_offset(grid, offset[1], offset[0]).perform()
    expected = f"“이” looks at “영화는”: {found.weights[1, 0, 1, 2]:.3f}"
    wait(browser, lambda: readout(browser) == expected)
    screenshot(browser, "attention_heat")
    pixel = "return [...arguments[0].getContext('2d').getImageData(2, 1, 1, 1).data]"
    alpha = browser.execute_script(pixel, query(browser, ".heat-canvas"))[3]
    assert alpha / 255 == pytest.approx(
        found.weights[1, 0, 1, 2] / found.weights[1, 0].max(), abs=0.01
    )


def test_everything_goes_by_the_keyboard(browser, served, found):
    open_page(browser, served)
    browser.execute_script("arguments[0].focus()", query(browser, ".map"))
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert title(browser) == "Layer 2 · head 1"
    press(browser, Keys.END)
    assert title(browser) == "Layer 2 · head 2"
    press(browser, Keys.ARROW_DOWN)  # there is no third layer
    assert title(browser) == "Layer 2 · head 2"
    press(browser, Keys.TAB, Keys.TAB, Keys.TAB)  # both switches, then one word of the first column
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert browser.switch_to.active_element.text.split()[0] == "영화는"
    assert "“영화는” looks at" in readout(browser)
    press(browser, Keys.ENTER)
    assert "word=r3" in browser.current_url
    press(browser, Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element.get_attribute("data-side") == "columns"
    press(browser, Keys.ESCAPE)
    assert "word=" not in browser.current_url
    browser.find_element(By.XPATH, "//button[text()='Heat map']").click()
    press(browser, Keys.TAB, Keys.ARROW_RIGHT)  # labels of columns
    assert browser.switch_to.active_element.text == "이"
    press(browser, Keys.TAB, Keys.TAB)  # labels of rows; the squares
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    expected = f"“이” looks at “이”: {found.weights[1, 1, 1, 1]:.3f}"
    assert readout(browser) == expected
    press(browser, Keys.ENTER)
    assert "word=r2" in browser.current_url


def test_a_phone_scrolls_nothing_sideways_but_the_pictures(browser, served):
    resize(browser, PHONE)
    for kind in ("lines", "heat"):
        open_page(browser, served, word="r3", **{"as": kind})
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= PHONE[0]
        maps, large = query(browser, ".maps").rect, query(browser, ".large").rect
        assert large["y"] >= maps["y"] + maps["height"]
        browser.execute_script("arguments[0].scrollIntoView()", query(browser, ".maps"))
        screenshot(browser, f"attention_phone_{kind}")


def test_pictures_follow_the_theme_and_words_the_language(browser, served):
    open_page(browser, served)
    pixel = (
        "const c = document.querySelector('.map canvas');"
        "return [...c.getContext('2d').getImageData(0, 0, 1, 1).data].slice(0, 3)"
    )
    light = browser.execute_script(pixel)
    resize(browser, DESKTOP, dark=True)
    wait(browser, lambda: browser.execute_script(pixel) != light)
    dark = browser.execute_script(pixel)
    query(browser, "#theme").click()
    wait(browser, lambda: browser.execute_script(pixel) == light)
    query(browser, "#theme").click()
    wait(browser, lambda: browser.execute_script(pixel) == dark)
    query(browser, "#language").click()
    wait(
        browser,
        lambda: query_all(browser, ".large h2") and title(browser) == "1층 · 모든 헤드의 평균",
    )
    word(browser, "rows", 2).click()
    assert "“영화는”이(가) 보는 곳" in readout(browser)
    screenshot(browser, "attention_dark_korean")
    browser.execute_script("localStorage.clear()")


def test_what_is_typed_is_text_and_long_texts_are_cut(browser, served):
    open_page(browser, served, second="")
    first = query_all(browser, "textarea")[0]
    first.clear()
    first.send_keys("<img src=x onerror=alert(1)>")
    wait(browser, lambda: "<" in texts(browser, ".lines-rows .word-text"))
    assert not query_all(browser, ".attention img")
    browser.execute_script("arguments[0].value = '영화 '.repeat(300)", first)
    first.send_keys("는")
    wait(browser, lambda: query_all(browser, ".notice"))
    assert query(browser, ".notice").text == "Only the first 128 tokens are shown."
    assert len(query_all(browser, ".lines-rows .word-of")) == 128


def test_a_saved_page_has_the_attention_of_its_texts(browser, tmp_path, found):
    page = tmp_path / "page.html"
    page.write_text(save_page(open_views(ENCODER), [f"{TEXT}\t{SECOND}", "좋다"]), "utf-8")
    browser.get(f"{page.as_uri()}#attention")
    wait(browser, lambda: query_all(browser, ".map"))
    query_all(browser, ".map")[5].click()
    word(browser, "rows", 2).click()
    assert numbers(browser, "columns")[3] == f"{found.weights[1, 1, 2, 3]:.2f}"
    browser.find_element(By.XPATH, "//button[text()='좋다']").click()
    wait(browser, lambda: len(query_all(browser, ".lines-rows .word-of")) < len(WORDS))
