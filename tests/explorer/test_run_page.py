"""Runs in the browser: curves that grow while one looks, several over each other, reports."""

import json
import math
import shutil
import threading
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bert_jax.explorer.opening import Opened, open_views
from bert_jax.explorer.saving import save_page
from bert_jax.explorer.views.run import run_view
from bert_jax.filesystem import lock_folder, write_text
from bert_jax.training.runlog import RunLog
from tests.explorer.conftest import PHONE, resize, screenshot, serving, wait
from tests.explorer.elements import query, query_all, texts

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
BASELINES = "baselines: MLM loss 6.900 (unigram model), NSP accuracy 0.640 (T=128) (majority class)"
CONFIG = {"masking": {}, "model": {"vocab_size": 30000}, "loop": {"steps": 1000}}


def pretraining(step: int, speed: float = 1.0) -> dict[str, float]:
    """The metrics of a made-up run after `step` steps; with `speed` it learns faster."""
    done = 1 - math.exp(-speed * step / 300)
    wave = 0.06 * math.sin(step) + 0.04 * math.sin(step / 7)
    mlm, nsp = 10.3 - 6.5 * done + wave, 0.69 - 0.3 * done + wave / 4
    return {
        "loss": mlm + nsp,
        "mlm_loss": mlm,
        "nsp_loss": nsp,
        "mlm_accuracy_mask": 0.45 * done + wave / 20,
        "nsp_accuracy": 0.55 + 0.33 * done + wave / 10,
        "grad_norm": 2.0 + wave,
    }


def record(log: RunLog, step: int, speed: float = 1.0) -> None:
    schedule = {"learning_rate": 1e-3 * min(step / 200, (1000 - step) / 800)}
    rates = {"tokens_per_second": 30_000.0 * speed, "steps_per_second": 8.0, "eta_seconds": 9.0}
    log.train(step, {**pretraining(step, speed), **schedule, **rates})
    if step % 200 == 0:
        held_out = pretraining(step, 0.9 * speed)
        log.eval(step, {name: x for name, x in held_out.items() if name != "grad_norm"})


def begin(folder: Path, last: int, speed: float = 1.0) -> Path:
    """Write a run of which `last` steps are done."""
    write_text(folder / "config.json", json.dumps(CONFIG))
    with RunLog(folder, 1000) as log:
        log.info(BASELINES)
        for step in range(10, last + 1, 10):
            record(log, step, speed)
    return folder


@pytest.fixture
def runs(tmp_path):
    begin(tmp_path / "runs" / "faster", 1000, 1.5)
    begin(tmp_path / "runs" / "slower", 600)
    return tmp_path / "runs"


@pytest.fixture
def open_page(browser):
    """`open_page(FOLDER, fragment)` serves a folder's view and waits for its curves."""
    stack = []

    def open_(folder: Path, fragment: str = ""):
        context = serving(Opened("runs", "a folder of runs", [run_view(folder)]))
        stack.append(context)
        browser.get("about:blank")
        browser.get(f"{context.__enter__()}#run{fragment}")
        wait(browser, lambda: query_all(browser, ".state"))
        return browser

    yield open_
    browser.get("about:blank")
    for context in stack:
        context.__exit__(None, None, None)


def num_points(page, number: int = 0) -> int:
    script = "return document.querySelectorAll('.chart-line.is-train')[arguments[0]].points.length"
    return page.execute_script(script, number)


def values(page, title: str) -> list[str]:
    """The lines below a chart."""
    script = """
        const charts = [...document.querySelectorAll(".chart")];
        const chart = charts.find((node) => node.querySelector("h2").innerText === arguments[0]);
        return [...chart?.querySelectorAll("li") ?? []].map((node) => node.innerText);
    """
    return [" ".join(text.split()) for text in page.execute_script(script, title)]


def test_curves_grow_while_one_looks(open_page, tmp_path):
    run = begin(tmp_path / "runs" / "demo", 100)
    go_on, end = threading.Event(), threading.Event()

    def train() -> None:
        with lock_folder(run, "a run"), RunLog(run, 1000) as log:
            go_on.wait(60)
            for step in range(110, 1001, 10):
                record(log, step)
                if step == 500:
                    end.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        page = open_page(run)
        wait(page, lambda: "running · step 100 of 1,000 (10 %)" in texts(page, ".run-state")[0])
        assert num_points(page) == 10
        page.execute_script("window.isTheSamePage = true")
        go_on.set()
        wait(page, lambda: num_points(page) == 50)
        assert "step 500 of 1,000 (50 %) · 30,000 tokens/s" in texts(page, ".run-state")[0]
        screenshot(page, "run_live")
        end.set()
        wait(page, lambda: num_points(page) == 100)
    finally:
        go_on.set()
        end.set()
        thread.join()
    assert page.execute_script("return window.isTheSamePage")
    wait(page, lambda: "finished · step 1,000 of 1,000" in texts(page, ".run-state")[0])


def test_losses_have_their_baselines_and_values_at_every_step(open_page, runs):
    page = open_page(runs / "faster")
    assert texts(page, "h2")[:5] == [
        "MLM loss", "NSP loss", "Accuracy on [MASK]", "NSP accuracy", "Learning rate",
    ]  # fmt: skip
    names = [x.text for x in query_all(page, ".chart-base-name")]
    assert names[:2] == ["all tokens alike 10.309", "unigram model 6.900"]
    newest = pretraining(1000, 1.5)["mlm_loss"]
    assert values(page, "MLM loss")[0].startswith(f"faster training {newest:.3f} held-out")
    drawing = query(page, ".chart-drawing")
    drawing.send_keys(Keys.HOME)
    drawing.send_keys(Keys.ARROW_RIGHT)
    assert texts(page, ".chart-place")[:2] == ["step 20", "step 20"]  # all charts
    expected = pretraining(20, 1.5)["mlm_loss"]
    assert values(page, "MLM loss") == [f"faster training {expected:.3f} held-out –"]
    drawing.send_keys(Keys.ESCAPE)
    assert texts(page, ".chart-place")[0] == "newest values"
    page.execute_cdp_cmd("Input.dispatchMouseEvent", {
        "type": "mouseMoved", "x": drawing.rect["x"] + drawing.rect["width"] / 2,
        "y": drawing.rect["y"] - page.execute_script("return scrollY") + 50,
    })  # fmt: skip
    wait(page, lambda: texts(page, ".chart-place")[0].startswith("step 4"))
    assert len(query_all(page, ".chart-mark")) > 2
    screenshot(page, "run")


def test_runs_over_each_other_by_steps_tokens_and_time(open_page, runs):
    page = open_page(runs, "?runs=faster")
    assert len(values(page, "MLM loss")) == 1
    box = query_all(page, ".run-row input")[1]
    box.send_keys(Keys.SPACE)
    wait(page, lambda: len(values(page, "MLM loss")) == 2)
    assert "runs=faster%2F%2Fslower" in page.current_url
    assert page.switch_to.active_element == query_all(page, ".run-row input")[1]  # it stays there
    lines = query_all(query(page, ".chart"), ".chart-line.is-train")
    colors = {line.value_of_css_property("stroke") for line in lines}
    dashes = {line.value_of_css_property("stroke-dasharray") for line in lines}
    assert len(lines) == len(colors) == len(dashes) == 2
    screenshot(page, "run_several")
    for title, newest in (("Tokens", "5.625M tokens"), ("Time", "after 0:0")):
        query(page, f"//button[text()='{title}']", By.XPATH).click()
        query(page, ".chart-drawing").send_keys(Keys.END)
        assert texts(page, ".chart-place")[0].startswith(newest)
    assert "x=time" in page.current_url
    page.refresh()
    wait(page, lambda: len(values(page, "MLM loss")) == 2)
    query_all(page, ".run-row input")[0].click()
    wait(page, lambda: len(values(page, "MLM loss")) == 1)
    assert values(page, "MLM loss")[0].startswith("slower")


def test_smoothing_and_logarithms(open_page, runs):
    page = open_page(runs / "slower")
    before = query(page, ".chart-line.is-train").get_attribute("points")
    query(page, "input[type=range]").send_keys(Keys.END)
    assert query(page, ".chart-line.is-raw").get_attribute("points") == before
    assert query(page, ".chart-line.is-train:not(.is-raw)").get_attribute("points") != before
    query(page, ".run-settings input[type=checkbox]").send_keys(Keys.SPACE)
    assert query(page, ".chart-line.is-raw").get_attribute("points") != before
    assert "smooth=0.99&log=1" in page.current_url


def test_texts_of_a_run_are_never_markup(open_page, runs):
    run = runs / HOSTILE.replace("/", "")
    shutil.move(runs / "slower", run)
    with RunLog(run, 1000) as log:
        log.info(f"warning: {HOSTILE}")
    scores = {"scores": {HOSTILE: {"value": 0.5}}, "warnings": [HOSTILE]}
    counts = {"confusion": {"labels": [HOSTILE, "b"], "counts": [[1, 2], [3, 4]]}}
    write_text(run / "evaluation" / "600" / "report.json", json.dumps({HOSTILE: scores | counts}))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 601, "split": "eval", HOSTILE: 1.0}) + "\n")
    page = open_page(run)
    wait(page, lambda: query_all(page, ".report-table"))
    assert HOSTILE in texts(page, "h2")
    assert any(HOSTILE in text for text in texts(page, ".alerts li"))
    assert HOSTILE in texts(page, ".report-table th")
    assert not query_all(page, "main img")
    assert page.title != "broken"


def test_reports_of_data_and_evaluations(open_page, runs, prepared):
    run = runs / "slower"
    write_text(run / "config.json", json.dumps({**CONFIG, "data": str(prepared)}))
    counts = {"labels": ["negative", "positive"], "counts": [[51, 17], [9, 59]]}
    report = {"dev": {"scores": {"accuracy": {"value": 0.8}}, "confusion": counts}}
    write_text(run / "evaluation" / "600" / "report.json", json.dumps(report))
    write_text(
        run / "evaluation" / "600" / "report.html",
        "<style>p { color: rgb(1, 2, 3) }</style><p id='p'>whole report</p>"
        "<script>document.title = 'broken'</script>",
    )
    page = open_page(run)
    wait(page, lambda: "Evaluation at step 600" in texts(page, "summary"))
    assert texts(page, ".report-table td")[:4] == ["51", "17", "9", "59"]
    query(page, "//summary[text()='Data report']", By.XPATH).click()
    assert "documents" in texts(page, ".report-table th")
    page.get(page.find_element(By.LINK_TEXT, "The whole report").get_attribute("href"))
    paragraph = query(page, "#p")
    assert paragraph.value_of_css_property("color").startswith("rgba(1, 2, 3")
    assert page.title != "broken"
    blocked = [x["message"] for x in page.get_log("browser")]  # the only error is the script's
    assert len(blocked) == 1
    assert "script" in blocked[0]


def test_a_run_without_records_waits_for_the_first(open_page, tmp_path):
    run = tmp_path / "runs" / "new"
    write_text(run / "config.json", json.dumps(CONFIG))
    write_text(run / "train.log", "2026-01-01 00:00:00 begins\n")
    page = open_page(run)
    assert "no records yet" in texts(page, ".run-state")[0]
    assert any("There are no records yet" in text for text in texts(page, ".hint"))


def test_korean_on_a_dark_phone_scrolls_nothing_sideways(open_page, runs):
    page = open_page(runs, "?x=time")
    page.execute_script("document.getElementById('language').click()")
    resize(page, PHONE, dark=True)
    wait(page, lambda: "MLM 손실" in texts(page, "h2"))
    assert texts(page, ".state") == ["멈춤", "끝남"] or texts(page, ".state") == ["끝남", "멈춤"]
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    wait(page, lambda: "기울기 노름" in texts(page, "h2"))
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    width = (
        "return Math.max(...[...document.querySelectorAll('.chart svg')].map(x => x.scrollWidth))"
    )
    assert page.execute_script(width) < PHONE[0]
    screenshot(page, "run_phone")


def test_a_saved_page_has_the_curves(browser, runs, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(save_page(open_views(str(runs)), []), encoding="utf-8")
    browser.get(file.as_uri())
    wait(browser, lambda: len(values(browser, "MLM loss")) == 2)
    query_all(browser, ".run-row input")[0].click()
    wait(browser, lambda: len(values(browser, "MLM loss")) == 1)
    query_all(browser, ".run-row input")[0].click()
    wait(browser, lambda: len(values(browser, "MLM loss")) == 2)
    assert num_points(browser) in (60, 100)


def test_a_server_that_is_gone_leaves_the_curves(browser, runs):
    with serving(Opened("runs", "", [run_view(runs)])) as address:
        browser.get(f"{address}#run")
        wait(browser, lambda: query_all(browser, ".chart"))
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    wait(browser, lambda: query_all(browser, ".error"))
    assert "The server does not answer." in texts(browser, ".error-wrong")
    assert query_all(browser, ".chart")
    browser.get("about:blank")
    assert all("ERR_CONNECTION" in x["message"] for x in browser.get_log("browser"))
