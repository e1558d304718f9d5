"""Answers to questions, as a person sees them in the browser; the model is a random one."""

from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By

import bert_jax
from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from tests.explorer.conftest import PHONE, resize, screenshot, wait

QUESTION, CONTEXT = "who sat ?", "😀 the cats sat on the mat . 세종이 <b> on a good dog . " * 2


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(x => x.innerText.trim())"
    return browser.execute_script(script, selector)


def heading(browser) -> str:
    return "".join(texts(browser, "section > .spread > h2"))


@pytest.fixture
def answers(tiny):
    given = {"question": QUESTION, "context": CONTEXT}
    (prediction,) = bert_jax.load(tiny("question_answering")).predict([given])
    return [answer["text"] for answer in prediction["n_best"]]


@pytest.fixture
def page(browser, served, tiny):
    state = f"question={quote(QUESTION)}&context={quote(CONTEXT)}"
    browser.get(served(tiny("question_answering")) + f"#answer?{state}")
    wait(browser, lambda: texts(browser, ".felt-text"), 90)
    return browser


def chosen(browser) -> str:
    """Return the marked answer, without the numbers in it."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.answer.is-chosen')].map(x => {"
        " const y = x.cloneNode(true); y.querySelector('sup')?.remove(); return y.textContent;"
        "}).join('')"
    )


def test_answers_are_marked_in_the_passage(page, answers):
    assert chosen(page) == answers[0]
    shown = [text.split(" ", 1)[1] for text in texts(page, ".bar-label")]
    assert shown[:-1] == [" ".join(answer.split()) for answer in answers]
    assert texts(page, ".bar-label")[-1] == "no answer in the passage"
    assert len(texts(page, ".felt-text")) == 2  # of the question and the passage
    screenshot(page, "answer")


def test_an_alternative_is_marked_and_explained(page, answers):
    page.find_element(By.CSS_SELECTOR, "button[data-key='2']").click()
    wait(page, lambda: heading(page) == f"Words that decided: “{answers[2]}”")
    assert chosen(page) == answers[2]
    resize(page, PHONE)
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "answer-phone")


def test_questions_in_a_table(page):
    part = page.find_element(By.CSS_SELECTOR, "details.table-part")
    part.find_element(By.TAG_NAME, "summary").click()
    table = "question\tcontext\tanswer\nwho ?\tthe cat sat\tzzz\n\tthe cat\ta"
    area = part.find_element(By.TAG_NAME, "textarea")
    page.execute_script("arguments[0].value = arguments[1]", area, table)
    part.find_element(By.XPATH, ".//button[text()='Predict']").click()
    wait(page, lambda: texts(page, "details tbody tr"))
    assert texts(page, "details tbody td:nth-child(2)")[0] == "who ? · the cat sat"
    assert texts(page, "details tbody td:nth-child(6)")[0] == "✗ no"
    page.find_element(By.XPATH, "//td/button[starts-with(., 'who ?')]").click()
    wait(page, lambda: "".join(texts(page, ".passage")).replace(" ", "").endswith("sat"))


def test_a_saved_page_has_a_tab_between_question_and_passage(browser, tiny, tmp_path, answers):
    path = tmp_path / "page.html"
    views = open_views(tiny("question_answering"))
    path.write_text(save_page(views, [f"{QUESTION}\t{CONTEXT}"]), encoding="utf-8")
    browser.get(path.as_uri())
    wait(browser, lambda: texts(browser, ".felt-text"))
    browser.find_element(By.CSS_SELECTOR, "button[data-key='1']").click()
    wait(browser, lambda: heading(browser) == f"Words that decided: “{answers[1]}”")
    assert not texts(browser, ".error")
