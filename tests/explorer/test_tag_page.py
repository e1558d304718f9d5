"""Tags of words, as a person sees them in the browser; the tagger is a random one."""

from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import bert_jax
from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from tests.explorer.conftest import PHONE, resize, screenshot, wait

TEXT = "😀 the Cats sat, on 세종이  a good mat <b>."


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(x => x.innerText.trim())"
    return browser.execute_script(script, selector)


def heading(browser) -> str:
    return "".join(texts(browser, "section > .spread > h2"))


@pytest.fixture
def tags(tiny):
    (prediction,) = bert_jax.load(tiny("tagging")).predict([TEXT])
    return prediction["tags"]


@pytest.fixture
def page(browser, served, tiny):
    browser.get(served(tiny("tagging")) + f"#tag?text={quote(TEXT)}")
    wait(browser, lambda: texts(browser, ".felt-text"), 90)
    return browser


def test_words_are_marked_with_their_tags(page, tags):
    assert texts(page, ".tagged > span") == TEXT.split()
    assert texts(page, ".tagged .tag-label") == [tag for tag in tags if tag != "O"]
    assert texts(page, ".legend .tag-name") == ["PET"]
    first = next(i for i, tag in enumerate(tags) if tag != "O")
    assert heading(page) == f"Words that decided: {tags[first]} of “{TEXT.split()[first]}”"
    assert texts(page, ".felt-text .felt-word") == TEXT.split()
    screenshot(page, "tag")


def test_a_word_shows_what_decided_its_tag_also_by_the_keyboard(page, tags):
    page.find_element(By.CSS_SELECTOR, "[data-key='2']").click()
    wait(page, lambda: heading(page) == f"Words that decided: {tags[2]} of “Cats”")
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait(page, lambda: heading(page) == f"Words that decided: {tags[3]} of “sat,”")
    assert page.switch_to.active_element.get_attribute("data-key") == "3"
    resize(page, PHONE)
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "tag-phone")


def test_sentences_with_tags_are_compared(page):
    part = page.find_element(By.CSS_SELECTOR, "details.table-part")
    part.find_element(By.TAG_NAME, "summary").click()
    (first,) = bert_jax.load(open_name(page)).predict(["the cat"])
    conll = f"the {first['tags'][0]}\ncat {first['tags'][1]}\n\nthe I-PET\ndog O\n"
    area = part.find_element(By.TAG_NAME, "textarea")
    page.execute_script("arguments[0].value = arguments[1]", area, conll)
    part.find_element(By.XPATH, ".//button[text()='Predict']").click()
    wait(page, lambda: texts(page, "details tbody tr"))
    assert texts(page, "details tbody td:nth-child(2)") == ["the cat", "the dog"]
    assert texts(page, "details tbody td:nth-child(6)")[0] == "✓ yes"
    page.find_element(By.XPATH, "//td/button[text()='the dog']").click()
    wait(page, lambda: texts(page, ".tagged > span") == ["the", "dog"])


def open_name(page) -> str:
    return page.find_element(By.TAG_NAME, "h1").text


def test_a_saved_page(browser, tiny, tmp_path, tags):
    path = tmp_path / "page.html"
    path.write_text(save_page(open_views(tiny("tagging")), [TEXT]), encoding="utf-8")
    browser.get(path.as_uri())
    wait(browser, lambda: texts(browser, ".felt-text"))
    browser.find_element(By.CSS_SELECTOR, "[data-key='3']").click()
    wait(browser, lambda: heading(browser) == f"Words that decided: {tags[3]} of “sat,”")
    assert not texts(browser, ".error")
