"""Fill the blank, as a person does it in the browser."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.explorer.conftest import DESKTOP, ENCODER, PHONE, resize, screenshot, wait

HOSTILE = "<img src=x onerror=\"document.title='broken'\"> </script><b>굵게</b> &amp; `${1}`"


def all_texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(x => x.innerText.trim())"
    return browser.execute_script(script, selector)


def labels(browser) -> list[str]:
    return all_texts(browser, ".bar-label")


def sentence(browser) -> str:
    return " ".join(browser.find_element(By.CLASS_NAME, "sentence").text.split())


def word(browser, text: str):
    buttons = browser.find_elements(By.CSS_SELECTOR, ".sentence .word")
    return next(button for button in buttons if button.text == text)


def write(browser, text: str) -> None:
    area = browser.find_element(By.TAG_NAME, "textarea")
    area.clear()
    area.send_keys(text)


@pytest.fixture
def page(browser, served):
    browser.get(served(ENCODER))
    wait(browser, lambda: labels(browser))
    return browser


def test_the_first_example_has_a_blank_with_candidates(page):
    assert sentence(page) == "이 영화는 정말 1 봤습니다."
    assert "재미있게" in labels(page)
    assert page.find_element(By.CLASS_NAME, "hidden-word").text == "Hidden: 재미있게 · rank 3, 23 %"
    assert page.title == f"Fill the blank · {ENCODER}"
    assert "token" not in page.current_url  # nor in a copied address, or a picture of the window
    screenshot(page, "fill")


def test_a_candidate_is_put_in_and_its_word_hidden_again(page):
    page.find_element(By.XPATH, "//button[.//span[text()='재밌게']]").click()
    wait(page, lambda: sentence(page) == "이 영화는 정말 재밌게 봤습니다.")
    assert page.find_element(By.TAG_NAME, "textarea").get_property("value") == sentence(page)
    word(page, "영화는").click()
    wait(page, lambda: sentence(page) == "이 1 정말 재밌게 봤습니다.")
    word(page, "정말").click()
    wait(page, lambda: sentence(page) == "이 1 2 재밌게 봤습니다.")
    wait(page, lambda: len(page.find_elements(By.CLASS_NAME, "card")) == 2)
    page.find_elements(By.CSS_SELECTOR, ".word.is-blank")[0].click()
    wait(page, lambda: sentence(page) == "이 영화는 1 재밌게 봤습니다.")


def test_what_is_typed_is_shown_and_blanks_move_along(page):
    page.find_element(By.TAG_NAME, "textarea").send_keys(Keys.HOME, "와 ")
    wait(page, lambda: sentence(page) == "와 이 영화는 정말 1 봤습니다.")
    write(page, "[MASK] 정말 지루했어요 😀.")
    wait(page, lambda: sentence(page).startswith("1 정말 지루했어요"))
    word(page, "지루했어요").click()  # a character of two UTF-16 units stands behind it
    wait(page, lambda: sentence(page) == "1 정말 2 😀.")
    write(page, "")
    wait(page, lambda: sentence(page) == "Type a sentence above.")


def test_a_blank_has_as_many_pieces_as_one_wants(page):
    page.find_element(By.CSS_SELECTOR, "[aria-label='One piece more']").click()
    wait(page, lambda: all_texts(page, ".stepper span") == ["2 pieces"])
    one_piece = labels(page)
    assert not page.find_elements(By.CLASS_NAME, "hidden-word")
    page.find_element(By.CSS_SELECTOR, "[aria-label='One piece fewer']").click()
    wait(page, lambda: all_texts(page, ".stepper span") == ["1 piece"])
    assert labels(page) != one_piece


def test_pieces_of_a_word_are_hidden_alone(page):
    write(page, "꿀잼이었어요 정말")
    page.find_element(By.XPATH, "//button[text()='Pieces']").click()
    wait(page, lambda: len(page.find_elements(By.CSS_SELECTOR, ".word.is-piece")) > 2)
    page.find_elements(By.CSS_SELECTOR, ".word.is-piece")[1].click()
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".word.is-blank"))
    joined = next(label for label in labels(page) if label.startswith("##"))
    before = sentence(page).split("1")[0].strip()
    page.find_element(By.XPATH, f"//button[.//span[text()='{joined}']]").click()
    wait(page, lambda: before + joined[2:] in sentence(page))


def test_the_keyboard_does_everything(page):
    area = page.find_element(By.TAG_NAME, "textarea")
    area.click()

    def press(*keys):
        page.switch_to.active_element.send_keys(*keys)

    for _ in range(8):
        press(Keys.TAB)
        if "word" in page.switch_to.active_element.get_attribute("class").split():
            break
    press(Keys.END)
    press(Keys.ARROW_LEFT)
    assert page.switch_to.active_element.text == "봤습니다"
    screenshot(page, "fill-keyboard")
    press(Keys.ENTER)
    wait(page, lambda: sentence(page) == "이 영화는 정말 1 2 .")
    assert "is-blank" in page.switch_to.active_element.get_attribute("class")
    while not page.switch_to.active_element.get_attribute("class").startswith("bar"):
        press(Keys.TAB)
    chosen = labels(page)[1]
    press(Keys.ARROW_DOWN)
    press(Keys.ENTER)
    wait(page, lambda: sentence(page) == f"이 영화는 정말 {chosen} 1 .")
    assert page.switch_to.active_element.text == chosen


def test_the_address_has_the_state(page, served):
    word(page, "영화는").click()
    wait(page, lambda: sentence(page) == "이 1 정말 2 봤습니다.")
    address = page.current_url
    state = parse_qs(urlsplit(address).fragment.removeprefix("fill?"))
    assert state["text"] == ["이 영화는 정말 재미있게 봤습니다."]
    page.get("about:blank")
    page.get(address)
    wait(page, lambda: labels(page))
    assert sentence(page) == "이 1 정말 2 봤습니다."


def test_texts_are_never_html(page):
    write(page, HOSTILE)
    wait(page, lambda: "onerror" in sentence(page))
    assert page.find_element(By.CLASS_NAME, "sentence").text == HOSTILE
    assert not page.find_elements(By.CSS_SELECTOR, "img, #view b")
    assert page.title.startswith("Fill")
    page.refresh()  # from the address's fragment
    wait(page, lambda: "onerror" in sentence(page))
    assert not page.find_elements(By.CSS_SELECTOR, "img, #view b")


def test_a_long_text_is_cut_with_a_notice(page):
    page.execute_script(
        "const area = document.querySelector('textarea'); area.value = '영화 '.repeat(20000);"
        "area.dispatchEvent(new Event('input'));"
    )
    wait(page, lambda: all_texts(page, ".notice"))
    assert all_texts(page, ".notice") == [
        "The model reads 126 pieces; the rest of the text is left out."
    ]
    page.find_element(By.ID, "language").click()
    wait(page, lambda: "조각 126개까지" in "".join(all_texts(page, ".notice")))


def test_korean_and_dark(page):
    page.find_element(By.ID, "language").click()
    wait(page, lambda: all_texts(page, "nav a")[:1] == ["빈칸 채우기"])
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "ko"
    wait(page, lambda: "가린 말: 재미있게 · 3위, 23 %" in all_texts(page, ".hidden-word"))
    english = re.compile(r"[A-Za-z]{4,}")
    shown = [text for text in all_texts(page, "main *") if english.search(text)]
    assert not shown
    page.find_element(By.ID, "theme").click()
    body = page.find_element(By.TAG_NAME, "body")
    wait(page, lambda: body.value_of_css_property("background-color") == "rgba(22, 24, 29, 1)")
    screenshot(page, "fill-korean-dark")
    page.refresh()  # both are remembered
    wait(page, lambda: all_texts(page, "nav a")[:1] == ["빈칸 채우기"])
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(22, 24, 29)"
    )


def test_dark_follows_the_system_and_a_phone_needs_no_scrolling_sideways(page):
    resize(page, PHONE, dark=True)
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(22, 24, 29)"
    )
    screenshot(page, "fill-phone-dark")
    resize(page, PHONE)
    word(page, "영화는").click()
    wait(page, lambda: len(all_texts(page, ".card")) == 2)
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    small = page.execute_script(
        "return [...document.querySelectorAll('button')].filter(x =>"
        " x.getBoundingClientRect().height < 24).map(x => x.outerHTML)"  # WCAG 2.2, 2.5.8
    )
    assert not small
    screenshot(page, "fill-phone")
    resize(page, DESKTOP)
