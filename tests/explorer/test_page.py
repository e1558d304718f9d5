"""The page around the views: tabs, errors, a busy model, texts that look like HTML."""

import threading

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bert_jax.errors import DataError
from bert_jax.explorer.opening import Opened
from bert_jax.explorer.view import MAX_CHARS, View
from tests.explorer.conftest import ENCODER, serving, wait

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"


class Typed:
    """A fill view that answers with the text as one word, once it may."""

    def __init__(self):
        self.may_answer, self.asked = threading.Event(), []
        self.may_answer.set()

    def answer(self, request):
        self.asked.append(request["text"])
        assert self.may_answer.wait(30)
        if request["text"] == "wrong":
            raise DataError(f"wrong {HOSTILE}", "right", "mend it")
        words = [[{"start": 0, "end": len(request["text"])}]] if request["text"] else []
        return {"words": words, "blanks": [], "notice": HOSTILE}

    def opened(self):
        about = {"examples": [HOSTILE], "max_pieces": 6, "max_saved_words": 0}
        view = View("fill", HOSTILE, about, self.answer, lambda texts: [])
        return Opened(HOSTILE, HOSTILE, [view])


def sentence(browser):
    found = browser.find_elements(By.CLASS_NAME, "sentence")
    return found[0].text if found else None


def write(browser, text):
    area = browser.find_element(By.TAG_NAME, "textarea")
    area.send_keys(Keys.CONTROL, "a")
    area.send_keys(text)


def test_a_text_goes_along_to_another_tab_and_back(browser, served):
    browser.get(served(ENCODER))
    wait(browser, lambda: sentence(browser))
    write(browser, "좋은 배우")
    wait(browser, lambda: sentence(browser) == "좋은 배우")
    tabs = browser.find_elements(By.CSS_SELECTOR, "nav a")
    others = [tab for tab in tabs if tab.get_attribute("aria-current") is None]
    assert others
    others[0].click()
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "nav a[aria-current]"))
    wait(browser, lambda: "좋은 배우" in browser.page_source or "text=" in browser.current_url)
    wait(browser, lambda: not browser.find_elements(By.CLASS_NAME, "sentence"))
    box = browser.find_element(By.CSS_SELECTOR, "main textarea")
    assert box.get_property("value") == "좋은 배우"
    browser.back()
    wait(browser, lambda: sentence(browser) == "좋은 배우")


def test_labels_are_never_html(browser):
    with serving(Typed().opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
        assert browser.find_element(By.TAG_NAME, "h1").text == HOSTILE
        assert browser.find_element(By.CSS_SELECTOR, "nav a").text == HOSTILE
        assert browser.find_element(By.CLASS_NAME, "chip").text == HOSTILE
        assert browser.find_element(By.CLASS_NAME, "notice").text == HOSTILE
        write(browser, "wrong")
        wait(browser, lambda: browser.find_elements(By.CLASS_NAME, "error"))
        lines = browser.find_element(By.CLASS_NAME, "error").text.splitlines()
        assert lines == [f"wrong {HOSTILE}", "Expected: right", "Do: mend it"]
        assert not browser.find_elements(By.TAG_NAME, "img")
        assert browser.title != "broken"
        browser.get_log("browser")  # has the answer's status, 400
        write(browser, "right")
        wait(browser, lambda: sentence(browser) == "right")
        assert not browser.find_elements(By.CLASS_NAME, "error")


def test_of_what_is_typed_while_the_model_is_busy_the_last_is_answered(browser):
    typed = Typed()
    with serving(typed.opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
        typed.may_answer.clear()
        write(browser, "first")
        wait(browser, lambda: "first" in typed.asked)
        write(browser, "second")
        wait(browser, lambda: "text=second" in browser.current_url)
        write(browser, "third")
        wait(browser, lambda: "text=third" in browser.current_url)
        typed.may_answer.set()
        wait(browser, lambda: sentence(browser) == "third")
        assert "second" not in typed.asked


def test_while_an_answer_is_late_the_page_says_why(browser):
    typed = Typed()
    with serving(typed.opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
        waiting = browser.find_element(By.ID, "waiting")
        assert not waiting.is_displayed()
        typed.may_answer.clear()
        write(browser, "new")
        wait(browser, lambda: waiting.text.startswith("Still computing."))
        write(browser, "newer")  # the first request is given up, and no longer waited for
        wait(browser, lambda: "text=newer" in browser.current_url)
        typed.may_answer.set()
        wait(browser, lambda: sentence(browser) == "newer")
        wait(browser, lambda: not waiting.is_displayed())


def test_an_address_that_cannot_be_written_does_not_stop_a_view(browser):
    with serving(Typed().opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
        refuse = "history.replaceState = () => { throw new DOMException('', 'SecurityError') }"
        browser.execute_script(refuse)
        write(browser, "on")
        wait(browser, lambda: sentence(browser) == "on")


def test_a_book_that_is_pasted_is_cut_before_it_is_sent(browser):
    typed = Typed()
    with serving(typed.opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
        paste = """
        const area = document.querySelector("textarea");
        area.value = "가".repeat(1_000_000);
        area.dispatchEvent(new Event("input"));
        """
        browser.execute_script(paste)
        wait(browser, lambda: len(typed.asked[-1]) > len(HOSTILE))
        assert MAX_CHARS < len(typed.asked[-1]) < MAX_CHARS * 3  # so that the view says it is cut
        assert not browser.find_elements(By.CLASS_NAME, "error")


def test_a_server_that_has_ended_is_a_message(browser):
    with serving(Typed().opened()) as address:
        browser.get(address)
        wait(browser, lambda: sentence(browser) == HOSTILE)
    write(browser, "more")
    wait(browser, lambda: browser.find_elements(By.CLASS_NAME, "error"))
    assert browser.find_element(By.CLASS_NAME, "error").text.splitlines() == [
        "The server does not answer.",
        "Expected: explore.py at work",
        "Do: start it again, and open its new address",
    ]
    browser.get_log("browser")  # has the connection that was refused


def test_without_the_token_there_is_an_explanation_and_no_page(browser):
    with serving(Typed().opened()) as address:
        browser.delete_all_cookies()
        browser.get(address.partition("?")[0])
        assert "explore.py has printed" in browser.find_element(By.TAG_NAME, "body").text
        browser.get_log("browser")  # has its status, 403
