"""The child process of `--companion moto`: moto's server, whose triggers call our functions.

`python -m lambda_home.companion.moto_server FD` serves on an inherited listening socket and ends
when its standard input does. moto's own Lambda is never asked: whatever in moto looks a function up
or calls one is led to the server that started it, and where moto's event is not AWS's it is made
anew (`triggers`, `rule_inputs`).
"""

from __future__ import annotations

import copy
import logging
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import moto.awslambda.models as awslambda
import moto.core.config
import moto.events.models as events
import moto.events.notifications as event_notifications
import moto.logs.models as logs
import moto.s3.models as s3
import moto.s3.notifications as s3_notifications
import moto.s3.responses as s3_responses
import moto.sns.models as sns
from botocore.exceptions import ClientError
from moto.awslambda.exceptions import UnknownFunctionException
from moto.logs.utils import EventMessageFilter
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from lambda_home.companion import rule_inputs, triggers
from lambda_home.companion.child import READY
from lambda_home.companion.functions_there import Functions, Home, as_json, is_elsewhere, say
from lambda_home.companion.moto_requests import Requests

_LAMBDA: Final = "lambda"
_FETCHED: Final = ("http", "https")


class FunctionThere:
    """A function as moto's services hold one."""

    def __init__(self, functions: Functions, arn: str, account: str, region: str) -> None:
        self._functions = functions
        self._owner = (account, region)
        self.function_arn = arn
        self.function_name = arn.split(":")[6]

    def invoke(self, body: str, request_headers: Any, response_headers: Any) -> bytes:
        """Invoke it and wait for its answer."""
        del request_headers, response_headers
        return self._functions.call(self.function_arn, body or "{}", *self._owner)


def _backend_of(functions: Functions) -> type[awslambda.LambdaBackend]:
    """What stands in for moto's Lambda, as far as its other services use it."""

    class FunctionsThere(awslambda.LambdaBackend):
        def get_function(  # type: ignore[override]
            self, function_name_or_arn: str, qualifier: str | None = None
        ) -> FunctionThere:
            name = f"{function_name_or_arn}:{qualifier}" if qualifier else function_name_or_arn
            account, region = self.account_id, self.region_name
            try:
                functions.check(name, account, region)
            except ClientError as error:
                raise UnknownFunctionException(name) from error
            is_arn = name.startswith("arn:")
            arn = name if is_arn else f"arn:aws:lambda:{region}:{account}:function:{name}"
            return FunctionThere(functions, arn, account, region)

        def invoke(
            self,
            function_name: str,
            qualifier: str | None,
            body: Any,
            headers: Any,
            response_headers: Any,
        ) -> bytes:
            found = self.get_function(function_name, qualifier)
            return found.invoke(body, headers, response_headers)

    FunctionsThere.__module__ = awslambda.__name__  # moto finds the URLs of a service by it
    return FunctionsThere


class Triggers:
    """Puts our functions in the place of moto's."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def install(self) -> None:
        """Replace, for this process, what in moto calls functions."""
        awslambda.lambda_backends.backend = _backend_of(self._functions)
        moto.core.config.default_user_config["batch"]["use_docker"] = False
        self._install_s3()
        self._install_sns()
        self._install_events()
        self._install_logs()

    def _install_s3(self) -> None:
        def invoke(account: str, event: Any, arn: str, region: str) -> None:
            self._functions.send(arn, as_json(event), account, region)

        def event_of(name: str, bucket: Any, key: Any, configuration_id: str) -> Any:
            return triggers.s3_notification(_stored(bucket, key), _happened(name), configuration_id)

        def to_bus(account: str, bucket: Any, name: str, key: Any) -> None:
            detail_type = s3_notifications._detail_type(name)  # noqa: SLF001
            event: Any = triggers.s3_bus_event(
                _stored(bucket, key), _happened(name), detail_type, str(uuid.uuid4())
            )
            buses = events.events_backends[account][bucket.region_name].event_buses
            for rule in list(buses["default"].rules.values()):
                rule.send_to_targets(event)

        self._install_missing_s3()
        _replace(s3_notifications, "_invoke_awslambda", invoke)
        _replace(s3_notifications, "_get_s3_event", event_of)
        _replace(s3_notifications, "_send_event_bridge_message", _quietly("S3's event", to_bus))

    @staticmethod
    def _install_missing_s3() -> None:
        """Delete markers are events, and the tags that every object is stored with are none."""
        kind = s3_notifications.S3NotificationEvent
        set_marker = s3.S3Backend._set_delete_marker  # noqa: SLF001

        def marked(backend: Any, bucket_name: str, key_name: str) -> Any:
            marker = set_marker(backend, bucket_name, key_name)
            name = kind.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
            bucket = backend.get_bucket(bucket_name)
            send_event(backend.account_id, name, bucket, marker)
            return marker

        send_event = s3_notifications.send_event
        put_tags = s3_responses.S3Response.put_object_tagging
        asked = threading.local()

        def tagged(response: Any) -> Any:
            asked.for_tags = True
            try:
                return put_tags(response)
            finally:
                asked.for_tags = False

        def sent(account: str, name: Any, bucket: Any, key: Any) -> None:
            if name != kind.OBJECT_TAGGING_PUT_EVENT or getattr(asked, "for_tags", False):
                send_event(account, name, bucket, key)

        _replace(s3.S3Backend, "_set_delete_marker", marked)
        _replace(s3_responses.S3Response, "put_object_tagging", tagged)
        _replace(s3_notifications, "send_event", sent)

    def _install_sns(self) -> None:
        publish = sns.Subscription.publish

        def fetched(subscription: Any, *given: Any, **more: Any) -> None:
            if is_elsewhere(subscription.endpoint):
                _quietly("SNS's message", partial(publish, **more))(subscription, *given)
            else:
                say(f"{subscription.endpoint} gets no messages: it is on this machine, or nowhere")

        def published(
            subscription: Any,
            message: str,
            message_id: str,
            subject: str | None = None,
            message_attributes: dict[str, Any] | None = None,
            **more: Any,
        ) -> None:
            if subscription.protocol in _FETCHED:
                given_on = (subscription, message, message_id, subject, message_attributes)
                self._functions.later(partial(fetched, *given_on, **more))
                return
            if subscription.protocol != _LAMBDA:
                publish(subscription, message, message_id, subject, message_attributes, **more)
                return
            matcher = subscription._filter_policy_matcher  # noqa: SLF001
            if matcher is not None and not matcher.matches(message_attributes, message):
                return
            if more.get("message_structure") == "json":
                message = subscription._parse_message_structure(message, _LAMBDA)  # noqa: SLF001
            given = triggers.Published(
                subscription.topic.arn,
                subscription.arn,
                message_id,
                message,
                subject,
                message_attributes or {},
            )
            event = as_json(triggers.sns_event(given, datetime.now(UTC)))
            region = subscription.topic.arn.split(":")[3]
            self._functions.send(subscription.endpoint, event, subscription.account_id, region)

        _replace(sns.Subscription, "publish", published)

    def _install_events(self) -> None:
        send_to_targets = events.Rule.send_to_targets

        def sent(rule: Any, original_event: Any, transform_input: bool = True) -> None:  # noqa: FBT001
            pattern = rule.event_pattern
            # A rule without a pattern has a schedule, and no event matches it.
            if rule.state == "DISABLED" or not pattern.get_pattern():
                return
            if not pattern.matches_event(original_event):
                return
            for target in list(rule.targets):
                if target["Arn"].split(":")[2] == _LAMBDA:
                    event = triggers.bus_event(original_event)
                    payload = rule_inputs.input_of(target, event, rule.arn)
                    owner = (rule.account_id, rule.region_name)
                    self._functions.send(target["Arn"], payload, *owner)
                else:
                    alone = copy.copy(rule)
                    alone.targets = [target]
                    to_other(alone, copy.deepcopy(original_event), transform_input)

        def invoke(account: str, fn_arn: str, event: Any) -> None:
            given = as_json(triggers.bus_event(event))
            self._functions.send(fn_arn, given, account, fn_arn.split(":")[3])

        to_other = _quietly("an EventBridge target", send_to_targets)
        _replace(events.Rule, "send_to_targets", sent)
        _replace(event_notifications, "_invoke_lambda", invoke)

    def _install_logs(self) -> None:
        send = logs.LogStream._send_log_events  # noqa: SLF001

        def sent(
            stream: Any,
            service: str,
            destination_arn: str,
            filter_name: str,
            log_events: Iterable[dict[str, Any]],
        ) -> None:
            group = stream.log_group
            wanted = EventMessageFilter(group.subscription_filters[filter_name].filter_pattern)
            kept = [event for event in log_events if wanted.matches(event["message"])]
            if not kept:
                return
            if service != _LAMBDA:
                send(stream, service, destination_arn, filter_name, kept)
                return
            name, account = stream.log_stream_name, stream.account_id
            event = triggers.logs_event(account, group.name, name, filter_name, kept)
            self._functions.send(destination_arn, as_json(event), account, stream.region)

        _replace(logs.LogStream, "_send_log_events", sent)


def _replace(owner: Any, name: str, ours: Callable[..., Any]) -> None:
    """Fails at once where moto has changed, and not when a trigger is pulled."""
    getattr(owner, name)
    setattr(owner, name, ours)


def _quietly(what: str, call: Callable[..., Any]) -> Callable[..., None]:
    """On AWS nobody who triggers something hears what became of it."""

    def called(*given: Any) -> None:
        try:
            call(*given)
        except Exception as error:
            say(f"{what} was not delivered: {error!r}")

    return called


def _happened(name: str) -> triggers.Happened:
    what = str(getattr(name, "value", name)).removeprefix("s3:")
    return triggers.Happened(what, datetime.now(UTC), uuid.uuid4().hex[:16].upper())


def _stored(bucket: Any, key: Any) -> triggers.Stored:
    etag = getattr(key, "etag", None)
    return triggers.Stored(
        account=bucket.account_id,
        region=bucket.region_name,
        bucket=bucket.name,
        bucket_arn=bucket.arn,
        key=key.name,
        size=getattr(key, "size", None),
        etag=etag.strip('"') if etag else None,
        version_id=str(key.version_id) if bucket.is_versioned else None,
    )


def _end_with_parent() -> None:
    """Standard input ends when the server does, also by a kill."""
    while sys.stdin.buffer.read(1024):
        pass
    os._exit(0)


def serve(descriptor: int, home: Home) -> None:
    """Serve for ever on a listening socket that was inherited."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    Triggers(Functions(home)).install()
    app = Requests(DomainDispatcherApplication(create_backend_app), home.account, home.region)
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        host, port = listener.getsockname()
    server = make_server(
        host, port, app, threaded=True, request_handler=MotoRequestHandler, fd=descriptor
    )
    say(READY)
    server.serve_forever()


def main() -> None:
    """Entry point."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home = Home.of(os.environ)
    for name in [name for name in os.environ if name.startswith("LAMBDA_HOME_")]:
        del os.environ[name]
    serve(int(sys.argv[1]), home)


if __name__ == "__main__":
    main()
