"""Senses of a word and its nearest words, as a person sees them in the browser."""

from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from tests.explorer.conftest import CLASSIFIER, DESKTOP, ENCODER, PHONE, resize, screenshot, wait


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(x => x.textContent.trim())"
    return browser.execute_script(script, selector)


def set_layer(browser, layer: int) -> None:
    browser.execute_script(
        "const x = document.querySelector('input[type=range]'); x.value = arguments[0];"
        "x.dispatchEvent(new Event('input'));",
        layer,
    )


@pytest.fixture
def page(browser, served):
    browser.get(served(ENCODER) + "#vectors")
    browser.refresh()
    wait(browser, lambda: texts(browser, ".plane .point"), 90)
    return browser


def test_two_senses_are_two_groups(page):
    """영화를 보고 (see), and 보고 싶다 (want to)."""
    assert texts(page, ".group-name") == ["Group A: 1, 2, 3", "Group B: 4, 5, 6"]
    assert len(page.find_elements(By.CSS_SELECTOR, ".plane circle")) == 3
    assert len(page.find_elements(By.CSS_SELECTOR, ".plane rect")) == 3
    assert texts(page, ".word.is-found") == ["보고"] * 6
    screenshot(page, "vectors")
    set_layer(page, 0)
    wait(page, lambda: "Embeddings, before any context" in texts(page, "output"))
    wait(page, lambda: texts(page, ".group-name") != ["Group A: 1, 2, 3", "Group B: 4, 5, 6"])
    page.find_element(By.TAG_NAME, "summary").click()
    assert len(texts(page, ".cosines tbody td")) == 36


def test_a_word_has_nearest_words(page):
    first = page.find_element(By.CSS_SELECTOR, ".sentence-line .word")
    first.click()
    wait(page, lambda: "Nearest to “극장에서”" in texts(page, "h2"))
    assert texts(page, ".cards h2") == ["In your sentences", "In the vocabulary", "In its place"]
    page.switch_to.active_element.send_keys(Keys.END, Keys.ARROW_LEFT)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait(page, lambda: "Nearest to “싶어요”" in texts(page, "h2"))
    in_sentences = texts(page, ".cards .card:first-child .bar-label")
    assert not [label for label in in_sentences if label.startswith(".")]
    assert any(label.startswith("싶") for label in in_sentences[:3])
    assert len(texts(page, ".cards .card:last-child .bar-label")) == 8
    screenshot(page, "vectors-neighbors")


def test_what_is_typed_is_read(page):
    area, line = (
        page.find_element(By.TAG_NAME, "textarea"),
        page.find_element(By.CLASS_NAME, "line"),
    )
    area.clear()
    area.send_keys("배우가 좋다.\n배우는 별로다 <b>굵게</b>.\n<i>아무</i> 배우")
    line.clear()
    line.send_keys("배우")
    wait(page, lambda: len(texts(page, ".point")) == 3)
    assert not page.find_elements(By.CSS_SELECTOR, "#view b, #view i")
    line.send_keys("zz")
    wait(page, lambda: "No sentence has a word that begins with “배우zz”." in texts(page, ".hint"))
    page.execute_script(
        "const x = document.querySelector('textarea'); x.value = '가\\n'.repeat(50);"
        "x.dispatchEvent(new Event('input'));"
    )
    wait(page, lambda: texts(page, ".notice") == ["Only the first 32 sentences are read."])


def test_a_classifier_parts_praise_from_blame(browser, served):
    browser.get(served(CLASSIFIER) + f"#vectors?word={quote('진짜')}")
    wait(browser, lambda: texts(browser, ".plane .point"), 90)
    assert texts(browser, ".group-name") == ["Group A: 1, 2, 3", "Group B: 4, 5, 6"]
    browser.find_element(By.CSS_SELECTOR, ".point").click()
    wait(browser, lambda: "Nearest to “진짜”" in texts(browser, "h2"))
    assert "This model has no masked-LM head" in texts(browser, ".cards .hint")[-1]


def test_korean_and_a_phone(page):
    page.find_element(By.ID, "language").click()
    wait(page, lambda: texts(page, ".group-name") == ["무리 가: 1, 2, 3", "무리 나: 4, 5, 6"])
    page.find_element(By.ID, "language").click()
    resize(page, PHONE, dark=True)
    wait(page, lambda: texts(page, ".plane .point"))
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "vectors-phone-dark")
    resize(page, DESKTOP)


def test_a_saved_page_has_every_layer(browser, tmp_path):
    sentences = ["어제 영화를 보고 울었다.", "다시 보고 싶은 영화.", "속편도 보고 싶어요."]
    path = tmp_path / "page.html"
    path.write_text(save_page(open_views(ENCODER), sentences), encoding="utf-8")
    browser.get(path.as_uri() + "#vectors")
    wait(browser, lambda: texts(browser, ".plane .point"))
    assert texts(browser, ".word.is-found") == ["보고"] * 3
    set_layer(browser, 0)
    wait(browser, lambda: "Embeddings, before any context" in texts(browser, "output"))
    assert not texts(browser, ".error")
    assert len(texts(browser, ".point")) == 3
