"""The context object: what a handler gets as its second argument.

Reference: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

import time

# Fields of W3C Trace Context and Baggage that a caller may hand over in the client context.
W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class Record:
    """An object with fixed fields, filled from a dict; what is missing is None."""

    __slots__ = ()

    def __init__(self, values):
        for field in self.__slots__:
            setattr(self, field, values.get(field))

    def __repr__(self):
        fields = ",".join("%s=%s" % (field, getattr(self, field)) for field in self.__slots__)
        return "%s([%s])" % (type(self).__name__, fields)


class CognitoIdentity(Record):
    """The Amazon Cognito identity that authorised the request."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(Record):
    """The mobile application that invoked the function."""

    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(Record):
    """Client context given by the caller of Invoke."""

    __slots__ = ("custom", "env", "client")


class Environment:
    """The part of the context that stays the same for the life of an execution environment."""

    def __init__(self, environ, output):
        self.output = output
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")


class LambdaContext:
    """Methods and properties about the invocation, function and execution environment."""

    def __init__(self, environment, headers, client_context, cognito_identity):
        self._output = environment.output
        self.aws_request_id = _text(headers, b"lambda-runtime-aws-request-id")
        self.log_group_name = environment.log_group_name
        self.log_stream_name = environment.log_stream_name
        self.function_name = environment.function_name
        self.memory_limit_in_mb = environment.memory_limit_in_mb
        self.function_version = environment.function_version
        self.invoked_function_arn = _text(headers, b"lambda-runtime-invoked-function-arn")
        self.tenant_id = _text(headers, b"lambda-runtime-aws-tenant-id")
        self._w3c = {}
        self.client_context = None
        if client_context is not None:
            w3c = client_context.pop("w3c", None)
            if isinstance(w3c, dict):
                self._w3c = {k: w3c[k] for k in W3C_FIELDS if isinstance(w3c.get(k), str)}
            self.client_context = ClientContext(client_context)
            if self.client_context.client is not None:
                self.client_context.client = Client(self.client_context.client)
        identity = cognito_identity or {}
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )
        self._epoch_deadline_time_in_ms = int(headers.get(b"lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation times out, never below 0."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def w3c(self):
        """The W3C trace context of the invocation, as a dict."""
        return dict(self._w3c)

    def log(self, msg):
        """Writes `msg` as a log record of its own."""
        self._output.log(str(msg))

    def __repr__(self):
        names = (
            "aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb function_version "
            "invoked_function_arn client_context identity tenant_id"
        )
        fields = ",".join("%s=%s" % (name, getattr(self, name)) for name in names.split())
        return "%s([%s])" % (type(self).__name__, fields)


def _text(headers, name):
    value = headers.get(name)
    return None if value is None else value.decode("utf-8", "replace")
