"""Translators in the browser: hypotheses, other words, and the attention of each kind of model."""

from urllib.parse import quote

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bert_jax.explorer.opening import Opened, open_views
from bert_jax.explorer.saving import save_page
from bert_jax.explorer.views.translate import translate_view
from bert_jax.lineage.inspection import explain_translation
from bert_jax.lineage.translator import load_translator
from tests.explorer.conftest import PHONE, resize, screenshot, serving, wait
from tests.explorer.elements import query_all, texts
from tests.lineage.test_inspection import MODELS, make

TEXT = "one two five three"


@pytest.fixture(scope="module")
def translator(trained_words):
    return load_translator(trained_words)


@pytest.fixture
def page(browser, served, trained_words):
    """The page of a model with attention, on a text."""
    browser.get("about:blank")
    browser.get(f"{served(str(trained_words))}#translate?text={quote(TEXT)}")
    wait(browser, lambda: query_all(browser, ".map, .large"), 60)
    return browser


def test_hypotheses_and_their_attention(page, translator):
    found = explain_translation(translator, TEXT).hypotheses
    assert texts(page, ".hypothesis-text") == [h.text for h in found]
    assert texts(page, ".lines-rows .word-text") == [s.chosen.token for s in found[0].steps]
    assert texts(page, ".lines-columns .word-text")[-1] == "</s>"
    page.find_element(By.CSS_SELECTOR, ".word-of[data-side='rows'][data-index='1']").click()
    weights = found[0].picture.panels[0].weights[0, 1]
    shown = [float(x or 0) for x in texts(page, ".lines-columns .weight")]
    assert shown == pytest.approx(weights.tolist(), abs=0.0051)
    screenshot(page, "translate")
    query_all(page, ".hypothesis")[2].click()
    rows = [s.chosen.token for s in found[2].steps]
    wait(page, lambda: texts(page, ".lines-rows .word-text") == rows)
    assert "best=3" in page.current_url


def test_another_word_is_chosen_and_the_rest_goes_on_from_it(page, translator):
    best = explain_translation(translator, TEXT).hypotheses[0]
    other = best.steps[1].alternatives[1]
    query_all(page, ".step")[1].click()
    assert texts(page, ".others .bar-label") == [c.token for c in best.steps[1].alternatives]
    screenshot(page, "translate_alternatives")
    query_all(page, ".others button.bar")[0].click()
    prefix = [best.steps[0].chosen.id, other.id]
    forced = explain_translation(translator, TEXT, prefix=prefix).hypotheses
    wait(page, lambda: texts(page, ".hypothesis-text") == [h.text for h in forced])
    page.find_element(By.XPATH, "//button[text()='Translate freely']").click()
    wait(page, lambda: texts(page, ".hypothesis-text")[0] == best.text)


def test_steps_go_by_the_keyboard(page):
    page.execute_script("arguments[0].focus()", query_all(page, ".step")[0])
    ActionChains(page).send_keys(Keys.ARROW_RIGHT, Keys.ENTER).perform()
    assert query_all(page, ".step")[1].get_attribute("aria-pressed") == "true"
    assert query_all(page, ".others .bar")
    page.execute_script("arguments[0].focus()", query_all(page, ".hypothesis")[0])
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ENTER).perform()
    wait(page, lambda: query_all(page, "li:nth-child(2) > .hypothesis[aria-pressed='true']"))
    assert page.switch_to.active_element == query_all(page, ".hypothesis")[1]


def test_who_goes_on_from_another_word_by_the_keyboard_stays_there(page):
    page.execute_script("arguments[0].focus()", query_all(page, ".step")[1])
    ActionChains(page).send_keys(Keys.ENTER).perform()
    page.execute_script("arguments[0].focus()", query_all(page, ".others button.bar")[0])
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: "prefix=" in page.current_url)
    wait(page, lambda: page.switch_to.active_element == query_all(page, ".step")[1])
    freely = page.find_element(By.XPATH, "//button[text()='Translate freely']")
    page.execute_script("arguments[0].focus()", freely)
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: page.switch_to.active_element == query_all(page, ".hypothesis")[0])


def test_a_phone_in_korean(page):
    resize(page, PHONE)
    page.find_element(By.ID, "language").click()
    wait(page, lambda: "탐색이 찾은 번역" in texts(page, "h2"))
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "translate_phone_korean")
    page.execute_script("localStorage.clear()")


def test_half_a_character_is_an_unknown_one():
    view = translate_view(make("none"))
    assert view.answer({"text": "one \ud800"})["hypotheses"]


def test_a_model_without_attention_says_so(browser):
    with serving(Opened("plain", "", [translate_view(make("none"))])) as address:
        browser.get(f"{address}#translate?text=one")
        wait(browser, lambda: query_all(browser, ".step"), 60)
        assert "no attention" in query_all(browser, ".notice")[-1].text
        assert not query_all(browser, ".attention")


@pytest.mark.parametrize("kind", ["transformer", "gnmt"])
def test_every_attention_of_a_model_has_a_place_in_the_grid(browser, kind):
    with serving(Opened(kind, "", [translate_view(make(kind))])) as address:
        browser.get(f"{address}#translate?text=one%20two")
        wait(browser, lambda: query_all(browser, ".large"), 60)
        if kind == "gnmt":  # its bottom layer attends for all
            assert not query_all(browser, ".map")
            assert texts(browser, ".large h2") == ["Attention to the source"]
            return
        config = MODELS[kind]
        names = texts(browser, ".maps-name")[1:]
        assert names == [
            *(f"Decoder → source, layer {n + 1}" for n in range(config.num_decoder_layers)),
            *(f"Decoder → itself, layer {n + 1}" for n in range(config.num_decoder_layers)),
            *(f"Encoder → itself, layer {n + 1}" for n in range(config.num_encoder_layers)),
        ]
        assert len(query_all(browser, ".map")) == len(names) * (1 + config.num_attention_heads)
        query_all(browser, ".maps-row")[3].find_element(By.CSS_SELECTOR, ".map").click()
        assert texts(browser, ".lines-columns .word-text")[0] == "<s>"
        screenshot(browser, f"translate_{kind}")


def test_a_saved_page_has_every_hypothesis(browser, trained_words, tmp_path, translator):
    found = explain_translation(translator, TEXT).hypotheses
    file = tmp_path / "page.html"
    file.write_text(save_page(open_views(str(trained_words)), [TEXT]), encoding="utf-8")
    browser.get(f"{file.as_uri()}#translate")
    wait(browser, lambda: query_all(browser, ".hypothesis"))
    query_all(browser, ".hypothesis")[-1].click()
    rows = [s.chosen.token for s in found[-1].steps]
    wait(browser, lambda: texts(browser, ".lines-rows .word-text") == rows)
    query_all(browser, ".step")[0].click()
    assert query_all(browser, ".others .bar")
    assert not query_all(browser, ".others button.bar")  # a file cannot translate anew
