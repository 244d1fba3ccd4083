"""The function: loading its handler, running it, and describing what goes wrong exactly as AWS's runtime describes it."""

import importlib
import os
import sys
import time

# What awslambda.streamify_response leaves on a handler.
STREAMING = "aws.lambda.runtime.handler.streaming"
NO_BREAK_SPACE = "\u00a0"
INTERNAL_FILES = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Fault(Exception):
    """An error that the runtime found itself; `trace` are lines for the stack trace."""

    def __init__(self, error_type, message, trace=()):
        Exception.__init__(self, message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


class Failure:
    """What went wrong, for the caller (`body`) and for the log (`log`)."""

    def __init__(self, function, error, request_id=""):
        self._json_log = function.json_log
        self._encode = function.encoder.encode
        if isinstance(error, Fault):
            self.error_type, message, trace = error.error_type, error.message, error.trace
        else:
            self.error_type, message, trace = type(error).__name__, _message(error), _stack_trace(error)
        self._document = {
            "errorMessage": message,
            "errorType": self.error_type,
            "requestId": request_id,
            "stackTrace": trace,
        }

    def report(self, output):
        """Writes the failure to the log and returns the JSON body that tells the caller."""
        if self._json_log:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            record = dict({"timestamp": stamp, "level": "ERROR"}, **self._document)
            output.log(self._encode(record).decode("utf-8"))
        else:
            output.log(self._log_text())
        return self._encode(self._document)

    def shortened(self, length):
        """The JSON body where there is little room: `length` characters of the message and the ends of the stack trace."""
        trace = self._document["stackTrace"]
        ends = trace if len(trace) <= 16 else trace[:8] + trace[-8:]
        short = {"errorMessage": self._document["errorMessage"][:length], "stackTrace": [entry[:400] for entry in ends]}
        return self._encode(dict(self._document, **short))

    def _log_text(self):
        message = self._document["errorMessage"]
        lines = ["[ERROR] " + self.error_type + (": " + message if message else ""), "Traceback (most recent call last):"]
        for entry in self._document["stackTrace"]:
            for line in entry.splitlines():
                # Collectors take a line that starts with a space for a new record; AWS's runtime avoids it the same way.
                text = line.lstrip(" ")
                lines.append(NO_BREAK_SPACE * (len(line) - len(text)) + text)
        return "\n".join(lines)


class Function:
    """A loaded function, or the `fault` that kept it from loading."""

    fault_type = Fault

    def __init__(self, environ, output, marshal_module, context_module):
        self._environ = environ
        self.output = output
        self._loads = marshal_module.loads
        self._context_type = context_module.LambdaContext
        self._environment = context_module.Environment(environ, output)
        self.encoder = marshal_module.Encoder(environ.get("AWS_EXECUTION_ENV"))
        self.json_log = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
        self.fault = None
        self.handler = None
        # Of a function that streams its responses: runs it for one invocation.
        self.exchange = None
        try:
            self.handler = find_handler(environ.get("_HANDLER", ""))
        except Exception as error:
            self.fault = Failure(self, error)

    @property
    def streams(self):
        """Whether the handler was given to awslambda.streamify_response."""
        return self.fault is None and getattr(self.handler, STREAMING, None) == "response"

    def serve(self, client, init_micros):
        """Answers invocations for ever; only the server or the function itself ends it."""
        headers, body = client.next(init_micros)
        while True:
            request_id = headers[b"lambda-runtime-aws-request-id"].decode("latin-1")
            self._announce(request_id, headers)
            if self.exchange is not None:
                headers, body = self.exchange(self, client, request_id, headers, body)
                continue
            answer = self._answer(headers, body, request_id)
            # Nothing of this invocation stays in memory while the next one is awaited.
            del headers, body
            headers, body = client.answer_and_next(request_id, *answer)
            del answer

    def _announce(self, request_id, headers):
        self.output.request_id = request_id
        tenant = headers.get(b"lambda-runtime-aws-tenant-id")
        self.output.tenant_id = None if tenant is None else tenant.decode("utf-8", "replace")
        trace_id = headers.get(b"lambda-runtime-trace-id")
        if trace_id is not None:
            self._environ["_X_AMZN_TRACE_ID"] = trace_id.decode("latin-1")
        else:
            self._environ.pop("_X_AMZN_TRACE_ID", None)

    def _answer(self, headers, body, request_id):
        try:
            return self._handle_event_request(self.handler, headers, body)
        except Exception as error:
            failure = self.failure(error, request_id)
        return "application/json", failure.report(self.output), failure.error_type

    def failure(self, error, request_id):
        """How `error` is told."""
        return Failure(self, error, request_id)

    def arguments(self, headers, body):
        """Event and context of an invocation; raises Fault for what cannot be read."""
        lambda_context = self._context_type(
            self._environment,
            headers,
            self._header_json(headers, b"lambda-runtime-client-context", "Client Context"),
            self._header_json(headers, b"lambda-runtime-cognito-identity", "Cognito Identity"),
        )
        return self._event(headers, body), lambda_context

    def _handle_event_request(self, request_handler, headers, body):
        event, lambda_context = self.arguments(headers, body)
        response = request_handler(event, lambda_context)
        if isinstance(response, bytes):
            return "application/unknown", response
        try:
            return "application/json", self.encoder.encode(response)
        except Exception as error:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error) from None

    def _event(self, headers, body):
        content_type = headers.get(b"content-type", b"application/json")
        if content_type != b"application/json" and not content_type.startswith(b"application/json;"):
            return body
        try:
            return self._loads(body)
        except Exception as error:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error) from None

    def _header_json(self, headers, name, title):
        value = headers.get(name)
        if not value:
            return None
        try:
            return self._loads(value)
        except Exception as error:
            message = "Unable to parse %s JSON: %s" % (title, error)
            raise Fault("Runtime.LambdaContextUnmarshalError", message) from None


def load(environ, output, marshal_module, context_module, private_module):
    """Loads the function that `environ` describes; never raises for the function's own mistakes (see `Function.fault`).

    Where the environment takes several requests at once it returns in one process for each, and never in this one.
    """

    def load_here():
        function = Function(environ, output, marshal_module, context_module)
        if function.streams:
            function.exchange = private_module("streaming").exchange
        return function

    slots = environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "")
    if slots.isdigit() and int(slots) > 1:
        return private_module("workers").load_in_each(int(slots), output, load_here)
    return load_here()


def find_handler(handler):
    """The callable that `module.name` stands for; raises Fault, or what the module raises while it is imported."""
    try:
        module_name, function_name = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (handler, error)) from None
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = "Cannot use built-in module %s as a handler module" % module_name
        raise Fault("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = "Unable to import module '%s': %s" % (module_name, error)
        raise Fault("Runtime.ImportModuleError", message) from None
    except SyntaxError as error:
        trace = '  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)
        message = "Syntax error in module '%s': %s" % (module_name, error)
        raise Fault("Runtime.UserCodeSyntaxError", message, [trace]) from None
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = "Handler '%s' missing on module '%s'" % (function_name, module_name)
        raise Fault("Runtime.HandlerNotFound", message) from None


def _message(error):
    try:
        return str(error)
    except Exception:
        return "<unprintable %s object>" % type(error).__name__


def _stack_trace(error):
    """The function's frames, outermost first, formatted by `traceback` without its position marks."""
    try:
        import traceback

        frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
        first = 0
        while first < len(frames) and frames[first][0].startswith(INTERNAL_FILES):
            first += 1
        # A handler that could not even be called has no frame of its own: the call is shown.
        return traceback.format_list(frames[first:] if first < len(frames) else frames[-1:])
    except Exception:
        # The function has broken the modules this needs; its error is reported all the same.
        return []
