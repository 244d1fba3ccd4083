"""`lambda-home invoke`: one invocation, its answer to stdout, its log to stderr."""

from __future__ import annotations

import base64
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from lambda_home.commands import output
from lambda_home.commands.client import Answer, Request, connected, quoted
from lambda_home.commands.failures import Failure, WrongUse
from lambda_home.commands.options import AsJson, EndpointUrl, FunctionName, Qualifier, Region


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("invoke")(invoke_command)


class InvocationType(StrEnum):
    """`--invocation-type`."""

    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


def invoke_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    name: FunctionName,
    payload: Annotated[
        str, typer.Option(help="JSON, @FILE, or - for stdin.", show_default=False)
    ] = "{}",
    tail: Annotated[
        bool, typer.Option("--tail", help="Show the end of the invocation's log, on stderr.")
    ] = False,
    asynchronous: Annotated[
        bool, typer.Option("--async", help="Do not wait for the answer: the type Event.")
    ] = False,
    invocation_type: Annotated[
        InvocationType, typer.Option(help="How to call it; DryRun only asks whether one may.")
    ] = InvocationType.REQUEST_RESPONSE,
    qualifier: Qualifier = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Call a function. Exits with 1 if it fails."""
    if asynchronous and invocation_type is InvocationType.DRY_RUN:
        raise WrongUse("--async calls the function, and DryRun does not: leave one out.")
    kind = InvocationType.EVENT if asynchronous else invocation_type
    if tail and kind is not InvocationType.REQUEST_RESPONSE:
        raise WrongUse(
            f"--tail needs an answer, which {kind} (--async) has none of: leave one out."
        )
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Invocation-Type": str(kind),
        "X-Amz-Log-Type": "Tail" if tail else "None",
    }
    request = Request(
        "POST",
        f"/2015-03-31/functions/{quoted(name)}/invocations",
        {"Qualifier": qualifier} if qualifier else None,
        payload_of(payload),
        headers,
    )
    with connected(endpoint_url, region) as client:
        answer = client.send(request)
    if tail:
        log = base64.b64decode(answer.headers.get("x-amz-log-result", ""))
        output.note(log.decode(errors="replace").rstrip("\n"))
    if as_json:
        output.show_json(_document(answer))
    elif kind is InvocationType.EVENT:
        output.note(f"{name} is queued: request {answer.headers.get('x-amzn-requestid', '?')}.")
    elif kind is InvocationType.DRY_RUN:
        output.note(f"{name} may be called; it was not.")
    else:
        _show(answer.body)
    if "x-amz-function-error" in answer.headers:
        raise Failure(f"{name} failed: {_fault(answer)} (see lambda-home logs {name}).")


def payload_of(text: str) -> bytes:
    """The payload that `--payload` names, which must be JSON. Raises WrongUse."""
    try:
        if text == "-":
            payload = sys.stdin.buffer.read()
        elif text.startswith("@"):
            payload = Path(text[1:]).read_bytes()
        else:
            # What the locale cannot have is in here as the bytes that the shell gave.
            payload = text.encode(errors="surrogateescape")
    except OSError as error:
        raise WrongUse(
            f"--payload: the file {text[1:]!r} cannot be read: {error.strerror}."
        ) from error
    try:
        json.loads(payload.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WrongUse(
            f"--payload is not JSON ({error}): write JSON, @FILE, or - for stdin."
        ) from None
    return payload


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not in JSON")


def _value(body: bytes) -> Any:
    """A payload's value; what is not JSON as text."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _document(answer: Answer) -> dict[str, Any]:
    headers = answer.headers
    log = headers.get("x-amz-log-result")
    document = {
        "StatusCode": answer.status,
        "RequestId": headers.get("x-amzn-requestid"),
        "ExecutedVersion": headers.get("x-amz-executed-version"),
        "FunctionError": headers.get("x-amz-function-error"),
        "LogResult": base64.b64decode(log).decode(errors="replace") if log else None,
        "Payload": _value(answer.body),
    }
    return {
        name: value for name, value in document.items() if value is not None or name == "Payload"
    }


def _show(body: bytes) -> None:
    """Print an answer: indented for a person, as it is for a program."""
    if sys.stdout.isatty() and isinstance(value := _value(body), dict | list):
        output.show_json(value)
    elif body:
        stream = sys.stdout.buffer
        stream.write(body if body.endswith(b"\n") else body + b"\n")
        stream.flush()


def _fault(answer: Answer) -> str:
    """An error of a function in a few words."""
    value = _value(answer.body)
    if not isinstance(value, dict):
        return answer.headers["x-amz-function-error"]
    words = [value.get("errorType"), value.get("errorMessage")]
    return ": ".join(str(word) for word in words if word) or "no reason given"
