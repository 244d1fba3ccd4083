"""Access keys and logins over HTTP, and `lambda-home keys`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import HandTurnedClock
from fastapi import FastAPI
from typer.testing import CliRunner

from lambda_home.access.callers import Callers, put_caller
from lambda_home.access.keys import AccessKeys
from lambda_home.access.sessions import COOKIE, Sessions
from lambda_home.arns import Scope
from lambda_home.cli import app as command_line
from lambda_home.http_io import Receive, Send
from lambda_home.http_io import Scope as AsgiScope
from lambda_home.registry.database import Database
from lambda_home.registry.resources import Resources
from lambda_home.registry.secrets import open_vault
from lambda_home.user_api.keys_admin import PATH as KEYS
from lambda_home.user_api.keys_admin import key_routes
from lambda_home.user_api.sessions_admin import PATH as SESSION
from lambda_home.user_api.sessions_admin import session_routes

ACCOUNT = "000000000000"


@dataclass
class Desk:
    """The routes, behind a gate that lets everybody in as an account's owner."""

    folder: Path
    clock: HandTurnedClock = field(default_factory=HandTurnedClock)

    def __post_init__(self) -> None:
        self.database = Database.open(self.folder / "lhome.db")
        vault = open_vault("", self.folder, self.database)
        self.keys = AccessKeys(Resources(self.database), vault, self.clock.monotonic)
        self.sessions = Sessions(self.keys, self.clock.monotonic)
        self.app = FastAPI()
        self.app.include_router(key_routes(self.keys, self.clock.now))
        self.app.include_router(session_routes(self.keys, self.sessions, self.clock.monotonic))

    async def gate(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["path"] != SESSION:
            put_caller(scope, Callers(Scope(ACCOUNT, "us-east-1")).default)
        await self.app(scope, receive, send)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        base = options.pop("base", "http://localhost")

        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(self.gate, client=("10.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, json=body, **options)

        return asyncio.run(main())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()


# -- keys


def test_a_key_goes_through_its_life(desk: Desk) -> None:
    made = desk.call(
        "POST", KEYS, {"user_name": "ann", "role": "deployer", "requests_per_second": 5}
    )
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    document = made.json()
    secret = document.pop("secret_access_key")
    found = desk.keys.find(document["access_key_id"])
    assert found is not None
    assert found.secret == secret
    assert document == {
        "access_key_id": found.id,
        "account": ACCOUNT,
        "user_name": "ann",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/ann",
        "role": "deployer",
        "requests_per_second": 5,
        "enabled": True,
        "created_at": "2023-11-14T22:13:20.000000Z",
    }
    assert desk.call("GET", KEYS).json() == {"keys": [document]}
    one = f"{KEYS}/{found.id}"
    assert desk.call("PUT", one, {"enabled": False}).json() == {**document, "enabled": False}
    assert desk.keys.find(found.id) is None
    assert desk.call("PUT", one, {"enabled": True}).json() == document
    assert desk.call("DELETE", one).status_code == 204
    assert desk.call("GET", KEYS).json() == {"keys": []}
    for method, body in (("DELETE", None), ("PUT", {"enabled": True})):
        gone = desk.call(method, one, body)
        assert gone.status_code == 404
        assert gone.headers["x-amzn-errortype"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_name": "ann"},
        {"role": "admin"},
        {"user_name": "ann", "role": "root"},
        {"user_name": "", "role": "admin"},
        {"user_name": 7, "role": "admin"},
        {"user_name": "ann", "role": None},
        {"user_name": "ann", "role": "admin", "more": 1},
        {"user_name": "ann", "role": "admin", "requests_per_second": 0},
        {"user_name": "ann", "role": "admin", "requests_per_second": "5"},
    ],
)
def test_what_makes_no_key_is_refused(desk: Desk, body: Any) -> None:
    refused = desk.call("POST", KEYS, body)
    assert refused.status_code == 400
    assert refused.headers["x-amzn-errortype"] == "InvalidParameterValueException"
    assert desk.keys.everywhere() == []


@pytest.mark.parametrize("body", [{}, {"enabled": "no"}, {"enabled": 0}, {"enabled": True, "x": 1}])
def test_what_switches_no_key_is_refused(desk: Desk, body: Any) -> None:
    key = desk.keys.create(ACCOUNT, "ann", "viewer", 1.0)
    assert desk.call("PUT", f"{KEYS}/{key.id}", body).status_code == 400
    assert desk.keys.find(key.id) == key


# -- sessions


def log_in(desk: Desk, key_id: str, secret: str, **options: Any) -> httpx.Response:
    body = {"access_key_id": key_id, "secret_access_key": secret}
    return desk.call("POST", SESSION, body, **options)


def cookie_of(answer: httpx.Response) -> Any:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


@pytest.mark.parametrize(
    ("base", "secure"), [("http://localhost", ""), ("https://localhost", True)]
)
def test_a_login_sets_a_cookie_that_only_this_site_sends(
    desk: Desk, base: str, secure: object
) -> None:
    key = desk.keys.create(ACCOUNT, "ann", "viewer", 1.0)
    answer = log_in(desk, key.id, key.secret, base=base)
    assert (answer.status_code, answer.content) == (204, b"")
    cookie = cookie_of(answer)
    assert desk.sessions.find(cookie.value) == key.id
    assert (cookie["httponly"], cookie["secure"]) == (True, secure)
    assert (cookie["samesite"].lower(), cookie["path"]) == ("strict", "/")
    assert (cookie["max-age"], cookie["domain"]) == ("43200", "")
    headers = {"cookie": f"other=1; {COOKIE}={cookie.value}"}
    assert desk.call("GET", SESSION, headers=headers).json() == {
        "arn": key.arn,
        "account": ACCOUNT,
        "role": "viewer",
    }
    out = desk.call("DELETE", SESSION, headers=headers)
    assert (out.status_code, cookie_of(out).value, cookie_of(out)["max-age"]) == (204, "", "0")
    assert desk.sessions.find(cookie.value) is None
    assert desk.call("GET", SESSION, headers=headers).status_code == 403


def test_a_wrong_login_says_the_same_whatever_is_wrong(desk: Desk) -> None:
    key = desk.keys.create(ACCOUNT, "ann", "viewer", 1.0)
    disabled = desk.keys.create(ACCOUNT, "bob", "viewer", 1.0)
    desk.keys.enable(ACCOUNT, disabled.id, enabled=False)
    temporary = desk.keys.environments.issue(ACCOUNT, key.role, "arn:aws:sts::1:assumed-role/a/b")
    answers = [
        log_in(desk, key.id, key.secret[:-1]),
        log_in(desk, key.id, ""),
        log_in(desk, "AKIA" + "A" * 16, key.secret),
        log_in(desk, "", ""),
        log_in(desk, disabled.id, disabled.secret),
        log_in(desk, temporary.id, temporary.secret),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (403, answers[0].content)
    }
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert answers[0].headers["x-amzn-errortype"] == "UnrecognizedClientException"


def test_who_fails_too_often_must_wait_also_with_the_right_secret(desk: Desk) -> None:
    key = desk.keys.create(ACCOUNT, "ann", "viewer", 1.0)
    for _ in range(10):
        assert log_in(desk, key.id, "wrong").status_code == 403
    refused = log_in(desk, key.id, key.secret)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
    desk.clock.turn(6)
    assert log_in(desk, key.id, key.secret).status_code == 204


@pytest.mark.parametrize(
    "body", [{}, {"access_key_id": "a"}, {"access_key_id": 1, "secret_access_key": 2}, []]
)
def test_a_body_that_is_no_login_is_refused(desk: Desk, body: Any) -> None:
    assert desk.call("POST", SESSION, body).status_code == 400


# -- the command


def run(desk: Desk, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(command_line, ["keys", *words, "--data-dir", str(desk.folder)])
    return done.exit_code, done.stdout, done.stderr


def test_keys_are_made_shown_and_deleted_from_the_command_line(desk: Desk) -> None:
    code, out, err = run(desk, "create", "ann", "--role", "invoker", "--requests-per-second", "3")
    assert code == 0, err
    found = re.fullmatch(
        r"export AWS_ACCESS_KEY_ID=(AKIA\w{16})\nexport AWS_SECRET_ACCESS_KEY=(\S{40})\n", out
    )
    assert found is not None
    key_id, secret = found.groups()
    key = desk.keys.find(key_id)
    assert key is not None
    assert (key.secret, key.role, key.requests_per_second) == (secret, "invoker", 3)
    assert secret not in err
    code, out, _ = run(desk, "list")
    assert code == 0
    assert out.splitlines()[1].startswith(f"{key_id}  {ACCOUNT}  invoker ")
    assert secret not in out
    assert run(desk, "delete", key_id) == (0, "", f"{key_id} is deleted.\n")
    code, out, err = run(desk, "list")
    assert (code, out, "keys create" in err) == (0, "", True)
    code, _, err = run(desk, "delete", key_id)
    assert (code, len(err.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "a b", "--role", "admin"),
        ("create", "ann", "--role", "admin", "--account", "7"),
        ("create", "ann", "--role", "admin", "--requests-per-second", "0"),
        ("delete", "AKIAAAAAAAAAAAAAAAAA"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_in_one_line(
    desk: Desk, words: tuple[str, ...]
) -> None:
    code, out, err = run(desk, *words)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("lambda-home: ")
    assert desk.keys.everywhere() == []


@pytest.mark.parametrize(
    ("words", "told"),
    [(["list"], "--data-dir"), (["create", "a b", "--role", "admin"], "A user name has")],
)
def test_what_cannot_be_done_makes_nothing_in_a_folder(
    tmp_path: Path, words: list[str], told: str
) -> None:
    nowhere = tmp_path / "nowhere"
    done = CliRunner().invoke(command_line, ["keys", *words, "--data-dir", str(nowhere)])
    assert done.exit_code == 1
    assert told in done.stderr
    assert not nowhere.exists()
