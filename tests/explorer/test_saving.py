"""Saved pages: in the browser, as a file, without a server."""

import re

import pytest
from selenium.webdriver.common.by import By

from bert_jax.errors import DataError
from bert_jax.explorer.opening import Opened, open_views
from bert_jax.explorer.saving import save_page
from bert_jax.explorer.view import View
from tests.explorer.conftest import ENCODER, PHONE, resize, screenshot, wait

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"> <!-- <script> 재미있다"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    page = tmp_path_factory.mktemp("saved") / "page 1.html"
    texts = ["이 영화는 정말 재미있게 봤습니다.", HOSTILE]
    page.write_text(save_page(open_views(ENCODER), texts), encoding="utf-8")
    return page


def labels(browser):
    return [x.text for x in browser.find_elements(By.CLASS_NAME, "bar-label")]


def test_a_saved_page_shows_its_texts_without_a_network(browser, saved):
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    try:
        browser.get(saved.as_uri())
        wait(browser, lambda: "재미있게" in labels(browser))
        before = labels(browser)
        word = browser.find_element(By.XPATH, "//button[text()='영화는']")
        word.click()
        wait(browser, lambda: labels(browser) not in ([], before))
        assert "영화" in labels(browser)
        screenshot(browser, "saved")
        resize(browser, PHONE)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        assert not browser.find_elements(By.TAG_NAME, "textarea")
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})


def test_a_hostile_text_is_a_text(browser, saved):
    browser.get(saved.as_uri())
    wait(browser, lambda: labels(browser))
    browser.find_element(By.CSS_SELECTOR, ".chip:nth-of-type(2)").click()
    sentence = browser.find_element(By.CLASS_NAME, "sentence")
    wait(browser, lambda: "onerror" in sentence.text)
    assert not browser.find_elements(By.TAG_NAME, "img")
    assert "broken" not in browser.title


def test_everything_is_in_the_file(saved):
    page = saved.read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [address[:5] for address in addresses if address] == ["data:"]
    assert HOSTILE not in page
    assert "default-src 'none'" in page


def test_an_error_of_a_view_is_saved_as_one():
    def answer(request):
        raise DataError(f"{request['text']} is too long", "a text", "shorten it")

    view = View("fill", "Fill", {}, answer, lambda texts: [{"text": text} for text in texts])
    page = save_page(Opened("m", "", [view]), ["<i>"])
    assert '[{"text": "\\u003ci>"}, {"error": ["\\u003ci> is too long", "a text"' in page
