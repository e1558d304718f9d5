"""Elements of a page, found by CSS selectors."""

from selenium.webdriver.common.by import By


def query_all(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def query(browser, selector, by=By.CSS_SELECTOR):
    return browser.find_element(by, selector)


def texts(browser, selector):
    """Return the texts of all elements, read at once, while the page may replace them."""
    script = "return [...document.querySelectorAll(arguments[0])].map((x) => x.innerText.trim())"
    return browser.execute_script(script, selector)
