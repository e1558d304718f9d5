"""Classes of texts, as a person sees and compares them in the browser."""

import csv
import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from tests.explorer.conftest import CLASSIFIER, DESKTOP, PHONE, resize, screenshot, wait

GOOD, BAD = "배우들 연기가 정말 좋았다.", "이야기가 너무 지루했다."
TABLE = "\n".join([
    "text\tlabel", "정말 재밌다\tpositive", "지루하다\tnegative", "볼만한데 아쉽다\tnegative",
    "최고다\tnegative",
])  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='broken'\"> <b>굵게</b>"


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(x => x.innerText.trim())"
    return browser.execute_script(script, selector)


def write(browser, text: str, number: int = 0) -> None:
    area = browser.find_elements(By.CSS_SELECTOR, ".side textarea")[number]
    area.clear()
    area.send_keys(text)


def reasons(browser, kind: str) -> list[str]:
    return texts(browser, f".felt-text .{kind} > .felt-word")


def heading(browser) -> str:
    return "".join(texts(browser, "section > .spread > h2"))


@pytest.fixture
def page(browser, served):
    browser.get(served(CLASSIFIER) + f"#classify?text={quote(BAD)}")
    wait(browser, lambda: reasons(browser, "is-for"), 90)
    return browser


def test_the_class_and_the_words_that_decided_are_shown(page):
    assert texts(page, ".bar-label") == ["✓ negative", "positive"]
    assert heading(page) == "Words that decided: “negative”"
    assert "지루했다" in reasons(page, "is-for")
    (value,) = page.execute_script(
        "return [...document.querySelectorAll('.felt')].filter(x =>"
        " x.innerText.includes('지루했다')).map(x => x.title)"
    )
    assert float(value) > 1
    word = page.find_element(By.CSS_SELECTOR, ".felt-text .is-for > .felt-word")
    assert word.value_of_css_property("border-bottom-style") == "solid"
    assert texts(page, ".legend")[0].split() == [
        "abc", "+0.7", "speaks", "for", "it", "abc", "−0.7", "speaks", "against", "it",
    ]  # fmt: skip
    screenshot(page, "classify")


def test_the_words_for_one_class_are_against_the_other(page):
    before = reasons(page, "is-for")
    page.find_element(By.CSS_SELECTOR, "[data-key=positive]").click()
    wait(page, lambda: heading(page) == "Words that decided: “positive”")
    assert reasons(page, "is-against") == before
    word = page.find_element(By.CSS_SELECTOR, ".felt-text .is-against > .felt-word")
    assert word.value_of_css_property("border-bottom-style") == "dashed"


def test_the_words_add_up(page):
    hint = texts(page, ".card.side .hint")[0]
    found = re.match(r"All \[MASK\]: (\S+); this text: (\S+); the words add up to (\S+)\.", hint)
    assert found
    start, end, total = (float(x.replace("−", "-")) for x in found.groups())
    assert abs(end - start - total) <= 0.15  # each is rounded to a decimal
    page.find_element(By.XPATH, "//button[text()='Gradient × input']").click()
    wait(page, lambda: any("no unit" in text for text in texts(page, ".hint")))
    assert "method=gradient_x_input" in page.current_url


def test_what_is_typed_is_predicted_and_explained(page):
    write(page, GOOD)
    wait(page, lambda: "✓ positive" in texts(page, ".bar-label"))
    wait(page, lambda: "좋았다" in reasons(page, "is-for"))
    write(page, "")
    wait(page, lambda: "Type a text above." in texts(page, ".hint"))
    wait(page, lambda: not texts(page, ".felt-text"))


def test_texts_are_never_html(page):
    write(page, HOSTILE)
    wait(page, lambda: "onerror" in "".join(texts(page, ".felt-text")))
    assert not page.find_elements(By.CSS_SELECTOR, "img, #view b")
    assert page.title.startswith("Classify")


def test_two_texts_side_by_side(page):
    page.find_element(By.XPATH, "//button[text()='Compare with another text']").click()
    write(page, "이야기가 정말 재밌다.", 1)
    wait(page, lambda: texts(page, ".different") == ["너무", "지루했다.", "정말", "재밌다."])
    change = texts(page, "[aria-label='What differs'] tbody tr")
    assert change[0].startswith("negative")
    assert "points" in change[0]
    wait(page, lambda: len(texts(page, ".felt-text")) == 2)
    assert "재밌다" in reasons(page, "is-against")  # of the same class on both sides
    assert texts(page, ".is-different > .felt-word")[:2] == ["너무", "지루했다"]
    explained = page.find_elements(By.CSS_SELECTOR, ".is-explained .bar-label")
    assert [x.text.removeprefix("✓ ") for x in explained] == ["negative", "negative"]
    screenshot(page, "classify-compare")
    address = page.current_url
    state = parse_qs(urlsplit(address).fragment.removeprefix("classify?"))
    assert state["other_text"] == ["이야기가 정말 재밌다."]
    page.find_element(By.XPATH, "//button[text()='End the comparison']").click()
    wait(page, lambda: len(texts(page, ".side textarea")) == 1)
    page.get("about:blank")
    page.get(address)
    wait(page, lambda: len(texts(page, ".felt-text")) == 2)


def test_a_pair(page):
    page.find_element(By.XPATH, "//button[text()='Make it a pair']").click()
    write(page, GOOD, 1)
    wait(page, lambda: len(texts(page, ".felt-text")) == 2)
    assert len(texts(page, ".bars")) == 1
    page.find_element(By.XPATH, "//button[text()='Leave out the second text']").click()
    wait(page, lambda: len(texts(page, ".felt-text")) == 1)


def paste(page, table: str) -> None:
    part = page.find_element(By.CSS_SELECTOR, "details.table-part")
    part.find_element(By.TAG_NAME, "summary").click()
    area = part.find_element(By.TAG_NAME, "textarea")
    page.execute_script("arguments[0].value = arguments[1]", area, table)
    part.find_element(By.XPATH, ".//button[text()='Predict']").click()
    wait(page, lambda: texts(page, "tbody tr") or texts(page, ".error"))


def column(page, number: int) -> list[str]:
    return texts(page, f"details tbody td:nth-child({number})")


def test_a_table_is_predicted_sorted_saved_and_opened(page, tmp_path):
    paste(page, TABLE)
    assert texts(page, "thead th") == [
        "Line",
        "Text",
        "Prediction",
        "Confidence",
        "Label",
        "Agrees",
    ]
    assert column(page, 2) == ["정말 재밌다", "지루하다", "볼만한데 아쉽다", "최고다"]
    assert column(page, 6)[:2] + column(page, 6)[3:] == ["✓ yes", "✓ yes", "✗ no"]
    assert re.search(
        r"4 rows\. [23] of 4 agree with the table's label", texts(page, "details [role=status]")[0]
    )
    sort = page.find_element(By.XPATH, "//th/button[starts-with(., 'Confidence')]")
    sort.click()
    assert page.find_element(By.CSS_SELECTOR, "[aria-sort=ascending]").text.startswith("Confidence")
    confidences = [float(x.removesuffix(" %")) for x in column(page, 4)]
    assert confidences == sorted(confidences)
    least_sure = column(page, 2)[0]
    sort.click()
    assert column(page, 2)[-1] == least_sure
    screenshot(page, "classify-table")
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.find_element(By.XPATH, "//button[text()='Save as TSV']").click()
    file = tmp_path / "predictions.tsv"
    wait(page, lambda: file.exists() and file.read_text().endswith("\n"))
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines(), delimiter="\t"))
    assert [row["text"] for row in rows] == ["정말 재밌다", "지루하다", "볼만한데 아쉽다", "최고다"]
    assert rows[0]["prediction"] == rows[0]["label"] == "positive"
    assert 0.5 < float(rows[0]["confidence"]) <= 1
    assert rows[3]["agrees"] == "0"
    page.find_element(By.XPATH, "//td/button[text()='최고다']").click()
    wait(page, lambda: "".join(reasons(page, "is-for")).startswith("최고다"))
    area = page.find_element(By.CSS_SELECTOR, ".side textarea")
    assert area.get_property("value") == "최고다"


def test_rows_that_cannot_be_used_and_no_table_at_all(page):
    paste(page, "text,label\n,negative\n재밌다,neutral")
    assert column(page, 3) == ["line 2: text empty", "positive"]
    assert texts(page, "details .notice") == [
        "Labels that the model does not know are not compared: neutral"
    ]
    part = page.find_element(By.CSS_SELECTOR, "details.table-part")
    part.find_element(By.TAG_NAME, "textarea").clear()
    part.find_element(By.XPATH, ".//button[text()='Predict']").click()
    wait(page, lambda: texts(page, ".error-wrong") == ["the table is empty"])
    page.get_log("browser")  # the browser logs the refused request


def test_the_keyboard_chooses_a_class(page):
    page.find_element(By.CSS_SELECTOR, ".side textarea").click()
    for _ in range(12):
        page.switch_to.active_element.send_keys(Keys.TAB)
        if "bar" in page.switch_to.active_element.get_attribute("class").split():
            break
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    wait(page, lambda: heading(page) == "Words that decided: “positive”")
    assert page.switch_to.active_element.get_attribute("data-key") == "positive"


def test_korean_and_a_phone(page):
    page.find_element(By.ID, "language").click()
    wait(page, lambda: heading(page) == "판단을 이끈 단어: “negative”")
    shown = " ".join(texts(page, "#view")).replace("[MASK]", "")
    assert set(re.findall("[A-Za-z]{3,}", shown)) == {"negative", "positive", "abc"}
    page.find_element(By.ID, "language").click()
    wait(page, lambda: heading(page) == "Words that decided: “negative”")
    resize(page, PHONE, dark=True)
    paste(page, TABLE)
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "classify-phone-dark")
    resize(page, DESKTOP)


def test_a_saved_page_explains_its_texts(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(save_page(open_views(CLASSIFIER), [GOOD, BAD]), encoding="utf-8")
    browser.get(path.as_uri())
    wait(browser, lambda: "좋았다" in reasons(browser, "is-for"))
    browser.find_elements(By.CLASS_NAME, "chip")[1].click()
    wait(browser, lambda: "지루했다" in reasons(browser, "is-for"))
    browser.find_element(By.CSS_SELECTOR, "[data-key=positive]").click()
    wait(browser, lambda: "지루했다" in reasons(browser, "is-against"))
    browser.find_element(By.XPATH, "//button[text()='Gradient × input']").click()
    wait(browser, lambda: any("no unit" in text for text in texts(browser, ".hint")))
    assert not browser.find_elements(By.TAG_NAME, "textarea")
    assert not texts(browser, ".error")


def test_a_word_without_end_does_not_widen_the_page(page):
    write = "const area = document.querySelector('textarea'); area.value = 'x'.repeat(3000);"
    page.execute_script(f"{write} area.dispatchEvent(new Event('input'))")
    wait(page, lambda: "xxxx" in "".join(texts(page, ".felt-word")), 60)
    assert page.execute_script("return document.documentElement.scrollWidth") <= DESKTOP[0]
