"""The Ruby runtime does what AWS's runtime interface client for Ruby does."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.runtimes.ruby_function import ARN, RubyFunction, running

pytestmark = pytest.mark.skipif(
    shutil.which("ruby") is None, reason="no Ruby here (Debian: apt-get install ruby)"
)

APP = """
require 'base64'
TWICE = JSON.generate(1) * 2

module Shop
  class Orders
    def self.handle(event:, context:)
      "order #{event['id']}"
    end
  end
end

class Refused < StandardError; end

def handler(event:, context:)
  case event['do']
  when 'echo' then event
  when 'context' then about(context)
  when 'env' then [ENV['LC_CTYPE'], Encoding.default_external.to_s, ENV['_X_AMZN_TRACE_ID'],
                   Dir.pwd == ENV['LAMBDA_TASK_ROOT']]
  when 'stream' then StringIO.new("\\x00\\xffraw".b)
  when 'puts' then puts 'one', 'two'; warn 'three'; nil
  when 'child' then system('echo from a child'); nil
  when 'log' then Logger.new($stdout).info('noted'); nil
  when 'raise' then raise ArgumentError, 'not like that'
  when 'own' then raise Refused, 'refused'
  when 'name' then nowhere
  when 'exit' then exit 3
  when 'exception' then raise Exception, 'all of it'
  when 'proxy' then Net::HTTP.name
  end
end

def about(context)
  names = %i[aws_request_id invoked_function_arn log_group_name log_stream_name function_name
             memory_limit_in_mb function_version identity client_context deadline_ms tenant_id w3c]
  told = names.to_h { |name| [name, context.public_send(name)] }
  told.merge(left: context.get_remaining_time_in_millis)
end
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RubyFunction]:
    with running(tmp_path_factory.mktemp("ruby"), APP) as function:
        yield function


@pytest.mark.parametrize(
    "event", [{"do": "echo"}, {"do": "echo", "text": "grüße \u2028 💡", "n": 1.5}]
)
def test_an_event_comes_back_as_it_was_sent(app: RubyFunction, event: object) -> None:
    assert app.result(event) == event


def test_a_result_that_is_a_stream_is_sent_as_it_is(app: RubyFunction) -> None:
    answer = app.invoke({"do": "stream"})
    assert answer.body == b"\x00\xffraw"
    assert answer.headers["content-type"] == "application/unknown"


def test_the_context_is_complete(app: RubyFunction) -> None:
    given = {
        "Lambda-Runtime-Client-Context": json.dumps(
            {"custom": {"a": 1}, "w3c": {"traceparent": "00-1", "other": "x", "baggage": 4}}
        ),
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "me"}',
        "Lambda-Runtime-Aws-Tenant-Id": "blue",
    }
    request_id = app.api.queue({"do": "context"}, given)
    context = app.api.answer_to(request_id).json()
    assert 25_000 < context.pop("left") <= 30_000
    assert context.pop("deadline_ms") > 1_700_000_000_000
    assert context == {
        "aws_request_id": request_id,
        "invoked_function_arn": ARN,
        "log_group_name": "/aws/lambda/tested",
        "log_stream_name": "2026/11/21/[$LATEST]0123",
        "function_name": "tested",
        "memory_limit_in_mb": "128",
        "function_version": "$LATEST",
        "identity": {"cognitoIdentityId": "me"},
        "client_context": {"custom": {"a": 1}},
        "tenant_id": "blue",
        "w3c": {"traceparent": "00-1"},
    }


def test_texts_are_utf_8_whatever_locales_the_machine_has(app: RubyFunction) -> None:
    trace = "Root=1-5e1b4151-43a0913a12345678901234567;Sampled=0"
    assert app.result({"do": "env"}) == [None, "UTF-8", trace, True]


def test_what_awss_runtime_has_loaded_needs_no_require(app: RubyFunction) -> None:
    assert app.result({"do": "proxy"}) == "Net::HTTP"


@pytest.mark.parametrize(
    ("what", "written"), [("puts", "one\ntwo\nthree\n"), ("child", "from a child\n")]
)
def test_output_ends_with_a_fence(app: RubyFunction, what: str, written: str) -> None:
    assert app.output({"do": what}) == written


def test_silence_needs_no_fence(app: RubyFunction) -> None:
    app.invoke({"do": "puts"})
    assert not app.invoke({"do": "echo"}).fenced


def test_a_logger_writes_the_requests_id(app: RubyFunction) -> None:
    line = app.output({"do": "log"})
    request_id = app.api.answers[-1].request_id
    assert re.fullmatch(
        rf"I, \[\d{{4}}-\d\d-\d\dT[\d:.]+ #\d+\]  INFO {request_id} -- : noted\n", line
    )


@pytest.mark.parametrize(
    ("what", "kind", "message", "header"),
    [
        ("raise", "ArgumentError", "not like that", "Function<ArgumentError>"),
        ("own", "Refused", "refused", "Function<UserException>"),
    ],
)
def test_an_error_is_told_as_aws_tells_it(
    app: RubyFunction, what: str, kind: str, message: str, header: str
) -> None:
    answer = app.invoke({"do": what})
    assert answer.kind == "error"
    assert answer.headers["lambda-runtime-function-error-type"] == header
    told = answer.json()
    assert list(told) == ["errorMessage", "errorType", "stackTrace"]
    assert told["errorMessage"] == message
    assert told["errorType"] == f"Function<{kind}>"
    assert re.search(r"/task/app\.rb:\d+:in [`'].*handler'$", told["stackTrace"][0])
    assert len(told["stackTrace"]) == 1
    output = app.process.output_of(answer.request_id)
    assert "Error raised from handler method\n{\n" in output
    assert app.result({"do": "echo"}) == {"do": "echo"}


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        (
            "name",
            "NameError",
            r"undefined local variable or method [`']nowhere' for .*LambdaHandler.*",
        ),
        ("exit", "SystemExit", "exit"),
        ("exception", "Exception", "all of it"),
    ],
)
def test_a_critical_error_ends_the_process_after_its_answer(
    tmp_path: Path, what: str, kind: str, message: str
) -> None:
    with running(tmp_path, APP) as function:
        answer = function.invoke({"do": what})
        assert answer.json()["errorType"] == f"Function<{kind}>"
        assert re.fullmatch(message, answer.json()["errorMessage"])
        assert function.process.wait() == 255
        assert "Critical exception from handler\n" in function.process.output


@pytest.mark.parametrize(
    ("code", "handler", "kind", "message"),
    [
        ("", "nothing.handler", "Init<LoadError>", "cannot load such file -- nothing"),
        ("raise 'at once'", "app.handler", "Init<RuntimeError>", "at once"),
        ("def handler(", "app.handler", "Init<SyntaxError>", ".*syntax error.*"),
        ("exit", "app.handler", "Init<SystemExit>", "exit"),
        (
            "",
            "app",
            "Init<ArgumentError>",
            r'Invalid handler \["app"\], must be of form FILENAME.*',
        ),
    ],
)
def test_a_function_that_cannot_be_loaded_says_why(
    tmp_path: Path, code: str, handler: str, kind: str, message: str
) -> None:
    with running(tmp_path, code, handler) as function:
        told = function.api.answer_to("").json()
        assert told["errorType"] == kind
        assert re.fullmatch(message, told["errorMessage"], re.DOTALL)
        assert function.process.wait() == 252
        assert f"Init error when loading handler {handler}\n{{" in function.process.output


def test_a_handler_may_be_a_method_of_a_class(tmp_path: Path) -> None:
    with running(tmp_path, APP, "app.Shop::Orders.handle") as function:
        assert function.result({"id": 7}) == "order 7"


def test_a_handler_that_is_not_there_is_told_by_the_first_invocation(tmp_path: Path) -> None:
    with running(tmp_path, APP, "app.missing") as function:
        told = function.invoke({}).json()
        assert told["errorType"] == "Function<NoMethodError>"
        assert told["errorMessage"].startswith("undefined method")
        assert "LambdaHandler" in told["errorMessage"]


def test_gems_of_the_package_and_files_beside_the_handler_are_found(tmp_path: Path) -> None:
    gem = "vendor/bundle/ruby/3.4.0"
    files = {
        "src/app.rb": "require 'colour'\nrequire 'lib/mine'\n"
        "def handler(event:, context:) = COLOUR + MINE",
        "lib/mine.rb": "MINE = 'mine'",
        "json.rb": "raise 'not Ruby\\'s own'",
        f"{gem}/gems/colour-1.0/lib/colour.rb": "COLOUR = 'blue'",
        f"{gem}/specifications/colour-1.0.gemspec": "Gem::Specification.new { |s| s.name"
        " = 'colour'; s.version = '1.0'; s.summary = s.author = 'x'; s.files = ['lib/colour.rb'] }",
    }
    with running(tmp_path, files, "src/app.handler") as function:
        assert function.result({}) == "bluemine"


def test_logs_are_json_where_the_function_asks_for_it(tmp_path: Path) -> None:
    code = """
    LOG = Logger.new($stdout, progname: 'shop')
    def handler(event:, context:)
      LOG.info('quiet')
      LOG.warn({ a: 1 })
      LOG.error(RuntimeError.new('broken'))
    end
    """
    levels = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"}
    with running(tmp_path, code, environ=levels) as function:
        warned, failed = map(json.loads, function.output({}).splitlines())
        request_id = function.api.answers[-1].request_id
    assert warned.pop("timestamp").endswith("Z")
    assert warned == {
        "level": "WARN",
        "message": "{:a=>1}" if "=>" in warned["message"] else "{a: 1}",
        "requestId": request_id,
        "logger": "shop",
    }
    assert failed["errorType"] == "RuntimeError"
    assert failed["errorMessage"] == failed["message"] == "broken"


def test_a_dropped_connection_is_made_anew(tmp_path: Path) -> None:
    with running(tmp_path, APP) as function:
        function.result({"do": "echo"})
        function.api.wait_until_parked()
        function.api.drop_connections()
        assert function.result({"do": "echo"}) == {"do": "echo"}


def test_asked_to_end_while_it_waits_it_ends_well(tmp_path: Path) -> None:
    code = "at_exit { puts 'cleaned up' }\n" + APP
    with running(tmp_path, code) as function:
        function.result({"do": "echo"})
        function.api.wait_until_parked()
        function.process.send_signal(signal.SIGTERM)
        assert function.process.wait() == 0
        assert function.process.output.endswith("cleaned up\n")


def test_it_ends_when_the_server_is_gone(tmp_path: Path) -> None:
    with running(tmp_path, APP) as function:
        function.result({"do": "echo"})
        function.api.wait_until_parked()
        function.api.close()
        assert function.process.wait() == 1
