"""Fill the blank, as a person does it in the browser."""

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.explorer.conftest import ENCODER, screenshot


def wait(browser, condition, seconds=30):
    return WebDriverWait(browser, seconds, 0.05).until(lambda _: condition())


def words(browser):
    return browser.find_elements(By.CSS_SELECTOR, ".sentence .word")


def labels(browser):
    return [x.text for x in browser.find_elements(By.CSS_SELECTOR, ".bar-label")]


def test_a_word_is_hidden_and_a_candidate_put_in(browser, served):
    browser.get(served(ENCODER))
    wait(browser, lambda: labels(browser))
    screenshot(browser, "fill")
