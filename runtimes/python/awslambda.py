"""Response streaming for Python functions, in the form AWS gave it for Node.js: its own Python runtime has none.

    from awslambda import HttpResponseStream, streamify_response

    @streamify_response
    def handler(event, response_stream, context):
        response_stream = HttpResponseStream.from_(response_stream, {"statusCode": 200, "headers": {"x-a": "b"}})
        response_stream.write("each write leaves at once")

    @streamify_response
    def handler(event, context):
        yield "a generator streams what it yields"

`response_stream` takes text, bytes and whatever JSON can say, and is a file for libraries that write to files. Its `end()` completes
the response; what the handler does afterwards the caller does not wait for. A handler that returns without it has ended it, too.
When nobody reads any more, the next write raises OSError.
Reference: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

STREAMING = "aws.lambda.runtime.handler.streaming"
INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"

__all__ = ["HttpResponseStream", "streamify_response"]


def streamify_response(handler):
    """Marks a handler as one that streams: `handler(event, response_stream, context)`, or a generator `handler(event, context)`."""
    try:
        setattr(handler, STREAMING, "response")
    except (AttributeError, TypeError):
        # A bound method or a built-in takes no attributes.
        from functools import partial

        handler = partial(handler)
        setattr(handler, STREAMING, "response")
    return handler


class HttpResponseStream:
    """The status, headers and cookies of an HTTP answer, ahead of its body: for function URLs."""

    @staticmethod
    def from_(response_stream, metadata):
        """The same stream, starting with `metadata` (statusCode, headers, cookies); raises where something was written before."""
        import json

        response_stream.set_content_type(INTEGRATION_RESPONSE)
        response_stream.prelude = json.dumps(metadata, separators=(",", ":")).encode() + bytes(8)
        return response_stream
