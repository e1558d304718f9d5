"""The local server of the page.

It listens on 127.0.0.1, and answers only who has its token: the page's address gives it once, and a
cookie from then on. A page of another site has neither, and cannot get it by giving a name of its
own to this machine's address, because such a Host is refused.
"""

import asyncio
import json
import secrets
import socket
import sys
import threading
import traceback
import webbrowser
from collections import deque
from http import HTTPStatus

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_jax.errors import ConfigError, DataError, UserError
from bert_jax.explorer.opening import Opened
from bert_jax.explorer.page import TYPES, describe, fill_template, read_static, scripts, styles
from bert_jax.explorer.view import Json, View

HOSTS = ("127.0.0.1", "localhost")
MAX_BODY = 1_000_000  # bytes of a request
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLOSED = 499  # nobody reads the answer; nginx's number for it


def serve(opened: Opened, listener: socket.socket, token: str, opens_browser: bool) -> None:
    """Serve the page until Ctrl-C.

    Args:
        opened: the model and its views.
        listener: see `listen`.
        token: what the page's address has to give.
        opens_browser: show the page in a browser.
    """
    address = page_address(listener, token)
    application = make_application(opened, token, listener.getsockname()[1])
    threading.Thread(target=prepare, args=(opened,), daemon=True).start()
    if opens_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    make_server(application).run(sockets=[listener])


def make_server(application: ASGIApp) -> uvicorn.Server:
    """Return a server that logs by Python's own handlers: those that exist stay open."""
    config = uvicorn.Config(
        application,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def listen(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1; 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOSTS[0], port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"port = {port}: {reason}", "a free port, 0 to 65535", "leave out --port"
        ) from None
    return listener


def page_address(listener: socket.socket, token: str) -> str:
    """Return the page's address, with its token."""
    host, port = listener.getsockname()
    return f"http://{host}:{port}/?token={token}"


def prepare(opened: Opened) -> None:
    """Compile what requests need, while the page is being read; views take turns."""
    waiting = deque(iter(view.prepare()) for view in opened.views)
    while waiting:
        steps = waiting.popleft()
        try:
            next(steps)
        except StopIteration:
            continue
        except Exception:  # the first request meets the same error, and shows it
            traceback.print_exc(file=sys.stderr)
            continue
        waiting.append(steps)


def make_application(opened: Opened, token: str, port: int) -> ASGIApp:
    """Return the web application of a model's views.

    Args:
        opened: the model and its views.
        token: what the page's address has to give, and a cookie from then on.
        port: of the server; each server of this machine has its own cookie.
    """
    cookie = f"explorer_{port}"
    views = {view.name: view for view in opened.views}
    addresses = {name: f"/static/{path}" for name, path in scripts().items()}
    sheets = "\n".join(f'<link rel="stylesheet" href="/static/{path}">' for path in styles())
    computing = asyncio.Lock()  # one request at a time computes, in the order of their arrival

    async def page(request: Request) -> Response:
        nonce = secrets.token_hex(16)
        text = fill_template("", sheets, addresses, describe(opened), nonce)
        response = HTMLResponse(text)
        response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
        response.set_cookie(cookie, token, httponly=True, samesite="strict")
        return response

    async def file(request: Request) -> Response:
        path = request.path_params["path"]
        if path not in {*scripts().values(), *styles()}:
            return PlainTextResponse("There is no such file.", 404)
        return Response(read_static(path), media_type=TYPES[path[path.rindex(".") :]])

    async def answer(request: Request) -> Response:
        view = views.get(request.path_params["view"])
        if view is None:
            return error_response(404, "there is no such view", f"one of {[*views]}", "reload")
        try:
            asked = await read_body(request)
            async with computing:
                if await request.is_disconnected():  # the page has asked something newer
                    return Response(status_code=CLOSED)
                return await run_in_threadpool(ask, view, asked)
        except UserError as error:
            return error_response(400, *error.lines)
        except ClientDisconnect:
            return Response(status_code=CLOSED)

    async def page_of_view(request: Request) -> Response:
        view = views.get(request.path_params["view"])
        path = request.path_params["path"]
        try:
            async with computing:
                text = view and await run_in_threadpool(view.page, path)
        except UserError as error:
            return PlainTextResponse(str(error), 404)
        if text is None:
            return PlainTextResponse("There is no such page.", 404)
        return HTMLResponse(text, headers={"Content-Security-Policy": PAGE_POLICY})

    routes = [
        Route("/", page),
        Route("/static/{path:path}", file),
        Route("/pages/{view}/{path:path}", page_of_view),
        Route("/api/{view}", answer, methods=["POST"]),
    ]
    return guard(Starlette(routes=routes), token, cookie)


def guard(application: ASGIApp, token: str, cookie: str) -> ASGIApp:
    """Return an application that answers only requests of the page's own."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = refusal(Request(scope), token, cookie)
        await (refused or application)(scope, receive, send_with_headers)

    return guarded


def refusal(request: Request, token: str, cookie: str) -> Response | None:
    """Return the answer to a request that is not the page's own; None if it is."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
        return PlainTextResponse("This server has another name.", HTTPStatus.MISDIRECTED_REQUEST)
    if origin is not None and origin != f"http://{host}":
        return PlainTextResponse("Only its own page may use this server.", HTTPStatus.FORBIDDEN)
    given = request.cookies.get(cookie, "")
    if request.url.path == "/":
        given = request.query_params.get("token", given)
    if secrets.compare_digest(given.encode(), token.encode()):
        return None
    return PlainTextResponse(
        "Open the address that explore.py has printed: it ends in a token, which is missing here"
        " or is that of another start.",
        HTTPStatus.FORBIDDEN,
    )


async def read_body(request: Request) -> Json:
    """Return the JSON object of a request.

    Raises:
        DataError: it is none, or has more than MAX_BODY bytes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise DataError(
                f"a request of more than {MAX_BODY:,} bytes", "a smaller one", "shorten the text"
            )
    is_json = Headers(scope=request.scope).get("content-type", "").startswith("application/json")
    try:
        value = json.loads(body) if is_json else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError("the request is no JSON object", "a JSON object", "reload the page")
    return value


def ask(view: View, request: Json) -> Response:
    """Return a view's answer to a request, or the error that it raises."""
    try:
        return json_response(200, view.answer(request))
    except UserError as error:
        return error_response(400, *error.lines)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        kind = type(error).__name__
        return error_response(500, f"the view failed: {kind}", "an answer", "see the terminal")


def error_response(status: int, *lines: str) -> Response:
    """Return an error as its three lines: what is wrong, what was expected, the next step."""
    return json_response(status, {"error": lines})


def json_response(status: int, value: Json) -> Response:
    """Return a response of JSON; lone surrogates of a user's text are escapes in it."""
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")
