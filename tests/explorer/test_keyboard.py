"""With the keyboard alone: what was pressed keeps the focus, also where the page is redrawn."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.explorer.conftest import CLASSIFIER, ENCODER, wait
from tests.explorer.elements import query, query_all, texts

FOCUSED = """
const node = document.activeElement;
return node.getAttribute("aria-label") || node.labels?.[0]?.innerText || node.textContent;
"""


@pytest.fixture
def page(browser, served):
    """`page(VIEW, selector)` opens a view, and waits until it has what a selector finds."""

    def open_view(model, view, selector):
        browser.get("about:blank")
        browser.get(f"{served(model)}#{view}")
        wait(browser, lambda: query_all(browser, selector))
        settle(browser)

    return open_view


def settle(browser):
    wait(browser, lambda: not query_all(browser, ".is-busy"))


def press(browser, *keys):
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def tab_to(browser, name):
    """Press Tab until an element of a name has the focus."""
    for _ in range(40):
        press(browser, Keys.TAB)
        if name in browser.execute_script(FOCUSED):
            return
    pytest.fail(f"Tab does not lead to {name}")


def focused(browser, name):
    return wait(browser, lambda: name in browser.execute_script(FOCUSED))


def test_a_tab_that_is_opened_keeps_the_focus(browser, page):
    page(ENCODER, "fill", ".word")
    tab_to(browser, "Attention")
    press(browser, Keys.ENTER)
    wait(browser, lambda: texts(browser, "nav a[aria-current]") == ["Attention"])
    wait(browser, lambda: query_all(browser, ".map"))
    assert focused(browser, "Attention")
    press(browser, Keys.TAB)
    assert focused(browser, "Vectors")


def test_a_comparison_and_a_pair_begin_and_end(browser, page):
    page(CLASSIFIER, "classify", "button.bar")
    tab_to(browser, "Compare with another text")
    press(browser, Keys.ENTER)
    assert focused(browser, "Second: Your text")
    browser.execute_script("document.querySelector('main').focus()")
    tab_to(browser, "End the comparison")
    press(browser, Keys.ENTER)
    assert focused(browser, "Compare with another text")
    tab_to(browser, "Make it a pair")
    press(browser, Keys.ENTER)
    assert focused(browser, "Second text of the pair")
    tab_to(browser, "Leave out the second text")
    press(browser, Keys.ENTER)
    assert focused(browser, "Make it a pair")


def test_another_method_keeps_the_focus(browser, page):
    page(CLASSIFIER, "classify", ".felt")
    tab_to(browser, "Gradient × input")
    press(browser, Keys.ENTER)
    wait(browser, lambda: "method=gradient_x_input" in browser.current_url)
    wait(browser, lambda: texts(browser, ".felt-value"))
    settle(browser)
    assert focused(browser, "Gradient × input")


def test_points_are_one_stop_and_chosen_with_enter(browser, page):
    page(ENCODER, "vectors", ".point")
    first, second = (
        point.get_attribute("aria-label") for point in query_all(browser, ".point")[:2]
    )
    tab_to(browser, first)
    press(browser, Keys.ARROW_RIGHT)
    assert focused(browser, second)
    press(browser, Keys.ENTER)
    wait(browser, lambda: "chosen=" in browser.current_url)
    wait(browser, lambda: query_all(browser, ".word.is-chosen"))
    assert focused(browser, second)
    press(browser, Keys.TAB)
    assert query(browser, ":focus").get_attribute("class").startswith("word")


def test_a_table_of_similarities_stays_open_from_layer_to_layer(browser, page):
    page(ENCODER, "vectors", "summary")
    tab_to(browser, "Similarities")
    press(browser, Keys.ENTER)
    wait(browser, lambda: query(browser, ".cosines").is_displayed())
    before = texts(browser, ".cosines td")
    browser.execute_script("document.querySelector('input[type=range]').focus()")
    press(browser, Keys.ARROW_LEFT)
    wait(browser, lambda: texts(browser, ".cosines td") != before)
    assert query(browser, ".cosines").is_displayed()


def test_a_step_to_the_end_of_what_is_possible_keeps_the_focus(browser, page):
    page(ENCODER, "fill", ".stepper")
    tab_to(browser, "One piece more")
    for _ in range(6):
        press(browser, Keys.ENTER)
        settle(browser)
    assert texts(browser, ".stepper span") == ["6 pieces"]
    assert focused(browser, "One piece more")
