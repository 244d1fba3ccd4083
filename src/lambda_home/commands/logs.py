"""`lambda-home logs`: what a function wrote, and what it writes now.

By the admin API of this server, which knows the invocation of each line; where there is none, by
the CloudWatch Logs API.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lambda_home.commands import output
from lambda_home.commands.client import Client, Request, connected, quoted
from lambda_home.commands.failures import Refused, Unreachable, WrongUse
from lambda_home.commands.log_lines import (
    Event,
    OfRequest,
    Shown,
    Unseen,
    of_cloudwatch,
    sent_events,
    start_of,
)
from lambda_home.commands.options import AsJson, EndpointUrl, FunctionName, Region

_LOOK_EVERY_S = 0.5
_NOT_FOUND = "ResourceNotFoundException"
_PAGE = "10000"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("logs")(logs_command)


def logs_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    name: FunctionName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
    since: Annotated[str, typer.Option(help="As 30s, 10m, 2h, 1d, or a moment in UTC.")] = "10m",
    request_id: Annotated[
        str | None, typer.Option("--request-id", help="Only what this invocation wrote.")
    ] = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Show what a function wrote. With -f and --json, each event is a line of JSON."""
    start_ms = start_of(since, int(datetime.now(UTC).timestamp() * 1000))
    if request_id == "":
        raise WrongUse("--request-id is empty: it is the one that lambda-home invoke --json tells.")
    with connected(endpoint_url, region) as client:
        source = Source(client, name, start_ms, request_id)
        if follow:
            gc.enable()  # the start of this program switches it off
            source.follow(_show_as_json if as_json else show_event)
        found = list(source.events())
    if as_json:
        output.show_json({"logGroup": source.group, "events": found})
        return
    for event in found:
        show_event(event)
    if not found:
        what = f"of request {request_id} and that time" if request_id else "of that time"
        output.note(f"There is nothing in {source.group} {what}: see --since.")


class Source:
    """The events of one function from a moment on."""

    def __init__(self, client: Client, name: str, start_ms: int, request_id: str | None) -> None:
        configuration = client.json("GET", f"/2015-03-31/functions/{quoted(name)}/configuration")
        group = configuration.get("LoggingConfig", {}).get("LogGroup")
        self.group = str(group or f"/aws/lambda/{configuration['FunctionName']}")
        self._client = client
        self._path = f"/api/admin/logs/{quoted(name)}"
        self._start_ms = start_ms
        self._request_id = request_id

    def events(self) -> Iterable[Event]:
        """All that is stored."""
        try:
            return self._by_admin_api()
        except Refused:  # what is wrong besides a missing API, the other one says as well
            return list(self._picked(self._by_cloudwatch(self._start_ms)))

    def follow(self, show: Callable[[Event], None]) -> None:
        """Show what is stored, then what comes, until somebody interrupts."""
        query = {"request_id": self._request_id} if self._request_id else None
        try:
            with self._client.lines(Request("GET", f"{self._path}/live", query)) as lines:
                self._show_live(lines, show)
        except Refused:
            self._poll(show)
        raise Unreachable(
            "The server has ended the log, as it does when it stops: start it, and try again."
        )

    def _show_live(self, lines: Iterator[str], show: Callable[[Event], None]) -> None:
        coming = sent_events(lines)
        next(coming, None)  # the tail is open: what is stored from now on comes by it
        stored = self._by_admin_api()
        for event in stored:
            show(event)
        shown = Shown(stored)
        for kind, event in coming:
            if kind == "log" and shown.is_new(event):
                show(event)
            elif kind == "dropped":
                output.note(f"Some lines are left out: {event.get('reason')}.")

    def _by_admin_api(self) -> list[Event]:
        query = {"since": str(self._start_ms), "limit": _PAGE}
        if self._request_id:
            query["request_id"] = self._request_id
        pages: list[list[Event]] = []
        while True:
            page = self._client.json("GET", self._path, **query)
            pages.append(page["events"])
            if not page.get("more"):
                return [event for events in reversed(pages) for event in events]
            query["before"] = page["more"]

    def _poll(self, show: Callable[[Event], None]) -> None:
        unseen = Unseen(self._start_ms)
        wanted = OfRequest(self._request_id) if self._request_id else None
        while True:
            fresh = unseen.of(self._by_cloudwatch(unseen.start_ms))
            for event in wanted.pick(fresh) if wanted else fresh:
                show(event)
            time.sleep(_LOOK_EVERY_S)

    def _picked(self, events: Iterable[Event]) -> Iterable[Event]:
        return OfRequest(self._request_id).pick(events) if self._request_id else events

    def _by_cloudwatch(self, start_ms: int) -> Iterator[Event]:
        """Page by page; nothing of a group that is not there yet."""
        body: dict[str, Any] = {"logGroupName": self.group, "startTime": start_ms}
        while True:
            try:
                page = _ask(self._client, "FilterLogEvents", body)
            except Refused as error:
                if error.code != _NOT_FOUND:
                    raise
                return
            yield from map(of_cloudwatch, page.get("events", []))
            if not page.get("nextToken"):
                return
            body["nextToken"] = page["nextToken"]


def _ask(client: Client, operation: str, body: dict[str, Any]) -> Any:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"Logs_20140328.{operation}",
    }
    return client.send(Request("POST", "/", None, body, headers, "logs")).json()


def _show_as_json(event: Event) -> None:
    typer.echo(json.dumps(event))


def show_event(event: Event) -> None:
    """Print an event: when, and what."""
    at = output.moment(event["timestamp"])
    at = typer.style(at, dim=True) if output.is_colourful() else at
    output.line(f"{at} {str(event['message']).rstrip()}")
