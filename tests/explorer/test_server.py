"""The server: who may ask, and what it answers to those who may not, or who ask badly."""

import http.client
import json
import socket
import threading
import time
from contextlib import closing

import httpx
import pytest

from bert_jax.errors import ConfigError, DataError
from bert_jax.explorer.opening import Opened
from bert_jax.explorer.server import MAX_BODY, listen, prepare
from bert_jax.explorer.view import View
from tests.explorer.conftest import TOKEN, serving


class Echo:
    """A view that repeats its request, fails, or waits until it may answer."""

    def __init__(self):
        self.may_answer, self.asked = threading.Event(), []
        self.at_work = self.most_at_work = 0

    def answer(self, request):
        self.asked.append(request)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            if request.get("waits"):
                assert self.may_answer.wait(30)
            if request.get("fails"):
                raise ZeroDivisionError("a secret of the program")
            if request.get("is_wrong"):
                raise DataError("<b>wrong</b>", "right", "mend it")
            return {"asked": request}
        finally:
            self.at_work -= 1


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def client(echo):
    label = "</script><img src=x onerror=alert(1)>"
    pages = {"a/b.html": "<script>alert(1)</script>"}
    view = View("fill", label, {"examples": [label]}, echo.answer, lambda texts: [], page=pages.get)
    with serving(Opened(label, label, [view])) as address:
        base = address.partition("/?")[0]
        with httpx.Client(base_url=base, timeout=30) as client:
            assert client.get(f"/?token={TOKEN}").status_code == 200
            yield client


def ask(client, request, **options):
    return client.post("/api/fill", json=request, **options)


def test_the_page_s_own_requests_are_answered(client):
    asked = {"text": "한국어 \U0001f600 \ud800"}  # half a character, as a browser may send it
    headers = {"content-type": "application/json"}
    answer = client.post("/api/fill", content=json.dumps(asked), headers=headers)
    assert json.loads(answer.content) == {"asked": asked}
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")


def test_a_page_of_a_view_runs_no_script(client):
    page = client.get("/pages/fill/a/b.html")
    assert page.text == "<script>alert(1)</script>"
    policy = page.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["sandbox", "default-src 'none'"]
    for path in ("/pages/fill/b.html", "/pages/other/a/b.html", "/pages/fill/"):
        assert client.get(path).status_code == 404
    assert httpx.get(f"{client.base_url}/pages/fill/a/b.html").status_code == 403


def test_a_stranger_is_refused(client):
    base = str(client.base_url)
    for path in ("/", "/?token=wrong", "/?token=%ED%95%9C", "/static/page.js", "/static/page.css"):
        assert httpx.get(f"{base}{path}").status_code == 403
    assert httpx.post(f"{base}/api/fill", json={}).status_code == 403
    assert httpx.post(f"{base}/api/fill?token={TOKEN}", json={}).status_code == 403
    cookies = {"cookie": f"explorer_{client.base_url.port}=wrong"}
    assert httpx.post(f"{base}/api/fill", json={}, headers=cookies).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "[::1]:80"])
def test_another_host_is_refused_even_with_the_token(client, host):
    assert client.get(f"/?token={TOKEN}", headers={"host": host}).status_code == 421
    assert ask(client, {}, headers={"host": host}).status_code == 421


def test_a_page_of_another_origin_is_refused(client):
    port = client.base_url.port
    for origin in ("http://evil.example", f"http://127.0.0.1:{port + 1}", "null"):
        assert ask(client, {}, headers={"origin": origin}).status_code == 403
    own = ask(client, {}, headers={"origin": f"http://127.0.0.1:{port}"})
    assert own.status_code == 200


def test_nothing_but_the_page_s_files_is_served(client):
    for path in ("/static/../server.py", "/static/..%2fserver.py", "/static//etc/passwd", "/etc"):
        assert client.get(path).status_code == 404
    assert client.get("/api/fill").status_code == 405
    assert client.post("/api/other", json={}).status_code == 404


def test_headers_forbid_other_sources(client):
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'nonce-")
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    (nonce,) = {part.split("'")[0] for part in policy.split("nonce-")[1:]}
    assert page.text.count(f'nonce="{nonce}"') == 2
    assert nonce not in client.get("/").text
    cookie = client.get(f"/?token={TOKEN}").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_label_ends_no_script(client):
    text = client.get("/").text
    assert "<img" not in text
    start = text.index('id="explorer">') + len('id="explorer">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert data["model"] == data["views"][0]["title"] == "</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'{"a": ', "no JSON object"),
        (b"\xff\xfe{}", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"text": "' + b"x" * MAX_BODY + b'"}', "more than 1,000,000 bytes"),
    ],
)
def test_a_bad_body_is_an_error_for_the_page(client, echo, body, wrong):
    headers = {"content-type": "application/json"}
    answer = client.post("/api/fill", content=body, headers=headers)
    assert answer.status_code == 400
    assert wrong in answer.json()["error"][0]
    assert not echo.asked


def test_only_json_is_read_so_that_no_form_of_another_site_is(client, echo):
    headers = {"content-type": "text/plain"}
    answer = client.post("/api/fill", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert not echo.asked


def test_a_user_s_error_is_three_lines(client):
    answer = ask(client, {"is_wrong": True})
    assert answer.status_code == 400
    assert answer.json() == {"error": ["<b>wrong</b>", "right", "mend it"]}


def test_a_failure_is_a_message_and_its_details_stay_here(client, capfd):
    answer = ask(client, {"fails": True})
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"][0]
    assert "secret" not in answer.text
    assert "a secret of the program" in capfd.readouterr().err
    assert ask(client, {"text": "and on"}).status_code == 200


def test_two_users_at_once_get_their_own_answers(client, echo):
    answers = {}

    def user(name):
        with httpx.Client(base_url=client.base_url, cookies=client.cookies) as own:
            for turn in range(20):
                asked = {"name": name, "turn": turn}
                answers[name, turn] = ask(own, asked).json()["asked"] == asked

    users = [threading.Thread(target=user, args=(name,)) for name in "ab"]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    assert len(answers) == 40
    assert all(answers.values())
    assert echo.most_at_work == 1  # the model has one request at a time


def test_what_nobody_waits_for_is_not_computed(client, echo):
    body = json.dumps({"text": "left"}).encode()
    first = threading.Thread(target=ask, args=(client, {"waits": True}))
    first.start()
    with closing(http.client.HTTPConnection("127.0.0.1", client.base_url.port)) as connection:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        headers = {"content-type": "application/json", "cookie": cookie}
        while not echo.asked:
            pass
        connection.request("POST", "/api/fill", body, headers)  # and nobody reads the answer
    time.sleep(1)  # until the server has seen that the connection is closed
    echo.may_answer.set()
    first.join()
    assert ask(client, {"text": "next"}).json() == {"asked": {"text": "next"}}
    assert [request.get("text") for request in echo.asked] == [None, "next"]


def test_a_connection_that_breaks_in_the_middle_does_no_harm(client):
    with socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        connection.sendall(
            f"POST /api/fill HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
    assert ask(client, {"text": "next"}).status_code == 200


def test_a_port_that_is_taken_is_a_user_s_error():
    with closing(listen(0)) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match=rf"port = {port}: .*in use"):
            listen(port)
    with pytest.raises(ConfigError, match="port = 70000"):
        listen(70_000)


def test_views_take_turns_at_being_prepared(capfd):
    done = []

    def steps(name, fails_at=None):
        for number in range(3):
            if number == fails_at:
                raise ZeroDivisionError
            done.append((name, number))
            yield

    views = [
        View("a", "", {}, dict, lambda texts: [], lambda: steps("a")),
        View("b", "", {}, dict, lambda texts: [], lambda: steps("b", fails_at=1)),
        View("c", "", {}, dict, lambda texts: []),
    ]
    prepare(Opened("", "", views))
    assert done == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
    assert "ZeroDivisionError" in capfd.readouterr().err
