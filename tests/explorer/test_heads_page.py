"""The heads of a Neural Turing Machine in the browser, on a machine trained for seconds."""

from dataclasses import replace

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import copytask
from bert_jax.config import LoopConfig
from bert_jax.errors import DataError
from bert_jax.explorer.opening import open_views
from bert_jax.explorer.saving import save_page
from bert_jax.lineage.ntm_inspection import load_machine
from tests.explorer.conftest import PHONE, resize, screenshot, wait
from tests.explorer.elements import query_all, texts
from tests.test_copytask import make_nano


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = make_nano(tmp_path_factory.mktemp("heads"))
    config = replace(config, loop=LoopConfig(steps=2, eval_every=2, checkpoint_every=2))
    assert copytask.main(config) == 0
    return f"{config.runs_dir}/{config.name}"


@pytest.fixture
def page(browser, served, run):
    browser.get("about:blank")
    browser.get(f"{served(run)}#heads?size=5")
    wait(browser, lambda: query_all(browser, ".map"), 60)
    return browser


def test_steps_over_slots_and_what_was_wrong(page, run):
    trace = load_machine(run).trace(5)
    read, write = trace.picture.panels
    assert texts(page, ".maps-name") == ["Read", "Write"]
    assert texts(page, ".heat-rows .heat-label") == list(read.rows)
    assert texts(page, ".heat-columns .heat-label") == list(read.columns)
    assert texts(page, ".is-wrong[role=status], .is-right[role=status]") == [
        f"{trace.num_wrong} of 10 bits are wrong." if trace.num_wrong else "All 10 bits are right."
    ]
    assert len(query_all(page, ".bit.is-wrong")) == trace.num_wrong
    assert len(query_all(page, ".bit")) == 2 * 10
    screenshot(page, "heads")
    query_all(page, ".map")[1].click()
    query_all(page, ".heat-rows .heat-label")[2].click()
    best = write.weights[0, 2].argmax()
    expected = f"{write.columns[best]} {write.weights[0, 2, best]:.2f}"
    assert expected in texts(page, ".readout")[0]


def test_another_length_and_another_sequence(page, run):
    size = query_all(page, "input[type=number]")[0]
    size.send_keys(Keys.CONTROL, "a")
    size.send_keys("7", Keys.ENTER)
    wait(page, lambda: len(query_all(page, ".heat-rows .heat-label")) == 15)
    assert "size=7" in page.current_url
    before = texts(page, ".heat-rows .heat-label")
    page.find_element(By.XPATH, "//button[text()='Another sequence']").click()
    wait(page, lambda: texts(page, ".heat-rows .heat-label") != before)
    size.send_keys(Keys.CONTROL, "a")
    size.send_keys("9999", Keys.ENTER)  # the longest that can be shown
    largest = load_machine(run).largest_size()
    wait(page, lambda: len(query_all(page, ".heat-rows .heat-label")) == 2 * largest + 1)
    assert size.get_attribute("value") == str(largest)


def test_a_phone_scrolls_nothing_sideways_but_the_pictures(page):
    resize(page, PHONE)
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    screenshot(page, "heads_phone")


def test_a_saved_page_has_some_lengths(browser, run, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(save_page(open_views(run), []), encoding="utf-8")
    browser.get(f"{file.as_uri()}#heads")
    wait(browser, lambda: query_all(browser, ".map"))
    assert len(query_all(browser, ".heat-rows .heat-label")) == 5  # two vectors, as in training
    browser.find_element(By.XPATH, "//button[text()='4']").click()
    wait(browser, lambda: len(query_all(browser, ".heat-rows .heat-label")) == 9)


def test_requests_are_checked(run):
    (view,) = [v for v in open_views(run).views if v.name == "heads"]
    for bad in ({"size": "3"}, {"size": True}, {"size": -1}, {"size": 3, "repeats": 2}, {}):
        with pytest.raises(DataError):
            view.answer({"repeats": 1, "seed": 0, **bad})
