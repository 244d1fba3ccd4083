"""Streamed responses: one chunked POST whose every piece leaves when the handler writes it. Loaded for functions that stream.

The connection is a blocking one, so a handler cannot write faster than the server reads, and nothing is kept in memory. An error
after the first byte travels in the trailers of the POST; before it, as any other error does.
Reference: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import _thread

from io import RawIOBase

GENERATOR = 0x20
VARIABLE_ARGUMENTS = 0x04
# Servers bound the size of a header; trailers are read like headers.
LONGEST_ERROR = 24 * 1024


class ResponseStream(RawIOBase):
    """What a streaming handler writes to; thread-safe. `broken`: nobody reads any more."""

    mode = "wb"

    def __init__(self, client, request_id, encode, too_late):
        self._client = client
        self._request_id = request_id
        self._encode = encode
        self._too_late = too_late
        self._lock = _thread.RLock()
        self._content_type = "application/octet-stream"
        self.prelude = b""
        self.begun = False
        self.ended = False
        self.broken = False

    def set_content_type(self, content_type):
        """The media type of the response; only before the first write."""
        if self.begun:
            raise self._too_late("Runtime.InvalidStreamingOperation", "Cannot set content-type, too late.")
        self._content_type = "".join(c if " " <= c <= "~" else "?" for c in str(content_type))

    def write(self, data):
        """Sends text, bytes or a JSON document; their number of bytes. Raises OSError when the response is not wanted any more."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        elif isinstance(data, (bytearray, memoryview)):
            data = bytes(data)
        elif not isinstance(data, bytes):
            data = self._encode(data)
        with self._lock:
            if self.ended:
                raise ValueError("write after the end of the response")
            self._piece(data)
        return len(data)

    def end(self, data=None):
        """Completes the response, with a last piece if one is given; once is enough."""
        with self._lock:
            if self.ended:
                return
            if data is not None:
                self.write(data)
            if not self.begun:
                self._piece(b"")
            tail = self.tail()
            if not self.broken:
                self._send(tail)

    def close(self):
        """As `end`: files are closed."""
        if not self.closed:
            try:
                self.end()
            finally:
                RawIOBase.close(self)

    def __exit__(self, kind, error, trace):
        # After an error the response stays open: the runtime ends it and tells the error.
        if kind is None:
            self.close()

    def __del__(self):
        # Nothing: dropping a stream does not complete the response.
        pass

    def writable(self):
        """Always: it is an output stream."""
        return True

    def tail(self, trailers=b""):
        """What ends the response on the wire: nothing where that has been sent. No write is possible afterwards."""
        with self._lock:
            if self.ended:
                return b""
            self.ended = True
            return b"0\r\n" + trailers + b"\r\n"

    def _piece(self, data):
        if not self.begun:
            data = self.prelude + data
            self.begun = True
            self._client.begin_stream(self._request_id, self._content_type)
        # An empty chunk would be the end.
        if data:
            self._send(b"%x\r\n" % len(data), data, b"\r\n")

    def _send(self, *parts):
        if self.broken:
            raise BrokenPipeError("nobody reads the response any more")
        try:
            self._client.send_piece(*parts)
        except OSError:
            self.broken = True
            raise


def exchange(function, client, request_id, headers, body):
    """Runs a streaming handler for one invocation; the headers and body of the next one."""
    stream = ResponseStream(client, request_id, function.encoder.encode, function.fault_type)
    try:
        event, context = function.arguments(headers, body)
        del body
        _call(function, stream, event, context)
        del event, context
        if not stream.begun:
            stream.end()
    except Exception as error:
        failure = function.failure(error, request_id)
    else:
        return client.finish_stream_and_next(request_id, stream.tail(), stream.broken)
    report = failure.report(function.output)
    if not stream.begun:
        stream.tail()
        return client.answer_and_next(request_id, "application/json", report, failure.error_type)
    return client.finish_stream_and_next(request_id, stream.tail(_trailers(failure, report)), stream.broken)


def _call(function, stream, event, context):
    handler = function.handler
    if yields(handler):
        result = handler(event, context)
    else:
        result = handler(event, stream, context)
    if hasattr(result, "__next__"):
        try:
            for piece in result:
                stream.write(piece)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
    elif hasattr(result, "__await__") or hasattr(result, "__anext__"):
        if hasattr(result, "close"):
            result.close()
        raise function.fault_type("Runtime.MalformedStreamingHandler", "Streaming does not support async handlers.")
    elif result is not None:
        function.output.log("[WARNING] Streaming handlers ignore return values.")


def yields(handler):
    """Whether a handler is called with (event, context) and yields its response; otherwise it gets a stream to write to."""
    bound = False
    target = handler
    while True:
        if hasattr(target, "__wrapped__"):
            target = target.__wrapped__
        elif hasattr(target, "func") and not hasattr(target, "__code__"):
            target = target.func
        else:
            break
    if not hasattr(target, "__code__") and not hasattr(target, "__func__"):
        target = getattr(target, "__call__", target)
    if hasattr(target, "__func__"):
        target, bound = target.__func__, True
    code = getattr(target, "__code__", None)
    if code is None:
        return False
    needed = code.co_argcount - bound - len(getattr(target, "__defaults__", None) or ())
    return needed <= 2 and bool(code.co_flags & GENERATOR or not code.co_flags & VARIABLE_ARGUMENTS and code.co_argcount - bound <= 2)


def _trailers(failure, report):
    from binascii import b2a_base64

    if len(report) > LONGEST_ERROR:
        report = failure.shortened(LONGEST_ERROR // 4)
    error_type = "".join(c if " " <= c <= "~" else "?" for c in failure.error_type)
    return b"Lambda-Runtime-Function-Error-Type: %s\r\nLambda-Runtime-Function-Error-Body: %s\r\n" % (
        error_type.encode("latin-1"),
        b2a_base64(report, newline=False),
    )
