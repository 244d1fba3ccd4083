"""The runtime API client: hand-written HTTP/1.1 over one keep-alive connection.

This is the hot path. An answer and the following `GET next` leave in one write and their replies are read in that order, so
one invocation costs one send and two receives. `_socket` is used directly: `socket` is expensive to import, and a function
that replaces `socket.socket` (gevent, a proxy library) does not reach in here.
"""

import os

import _socket

PREFIX = "/2018-06-01/runtime/"
# Beyond this, copying parts together costs more than a second system call.
JOIN_LIMIT = 65536


class ServerGoneError(BaseException):
    """The runtime API cannot be reached, or refuses this environment; nothing is left to do but to end."""


class RuntimeClient:
    """Exchanges with the runtime API at `host:port`; the address is sent back as `Host`, it identifies the environment."""

    def __init__(self, address, output):
        self._address = address
        self._output = output
        self._sock = None
        self._unread = b""
        self._pid = os.getpid()
        common = " HTTP/1.1\r\nHost: " + address + "\r\n"
        self._common = common
        self._next = ("GET " + PREFIX + "invocation/next" + common + "\r\n").encode("latin-1")
        # A forked child must not hold the connection open after this process has died.
        os.register_at_fork(after_in_child=self._abandon)

    def connect(self):
        """Opens the connection; raises ServerGoneError."""
        host, _, port = self._address.rpartition(":")
        host = host.strip("[]")
        family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
        self._unread = b""
        try:
            if self._sock is not None:
                self._sock.close()
            self._sock = _socket.socket(family, _socket.SOCK_STREAM)
            self._sock.connect((host, int(port)))
            self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._pid = os.getpid()
        except OSError as error:
            raise ServerGoneError from error

    def next(self, init_micros=None):
        """Waits for an invocation: its headers (lower-case names, bytes) and body. Reconnects once."""
        request = self._next
        if init_micros is not None:
            fenced = self._output.fence("init")
            told = b"Lambda-Home-Init-Micros: %d\r\nLambda-Home-Fence: %d\r\n\r\n" % (init_micros, fenced)
            request = request[:-2] + told
        try:
            self._send(request)
            return self._invocation(self._read())
        except OSError:
            self.connect()
        try:
            self._send(request)
            return self._invocation(self._read())
        except OSError as error:
            raise ServerGoneError from error

    def restore_next(self, init_micros):
        """The init phase is over: waits for SnapStart's restore, on this connection. Raises ServerGoneError."""
        told = (init_micros, self._output.fence("init"))
        request = "GET " + PREFIX + "restore/next" + self._common
        request += "Lambda-Home-Init-Micros: %d\r\nLambda-Home-Fence: %d\r\n\r\n" % told
        try:
            self._send(request.encode("latin-1"))
            status, _, _ = self._read()
        except OSError as error:
            raise ServerGoneError from error
        if status != 200:
            raise ServerGoneError

    def answer_and_next(self, request_id, content_type, body, error_type=None):
        """Sends a response (or, with an error type, an error) and waits for the next invocation."""
        if os.getpid() != self._pid:
            # A child forked by the handler came back from it: the answer belongs to its parent.
            os._exit(0)
        path = "invocation/" + request_id + ("/response" if error_type is None else "/error")
        head = self._head(path, request_id, content_type, body, error_type)
        sent = True
        try:
            self._send(head, body, self._next)
        except OSError:
            sent = False
        answered = False
        try:
            # Also after a failed send: a refusal (413) may have come before the end of a large body.
            self._read()
            answered = True
            if sent:
                return self._invocation(self._read())
        except OSError:
            pass
        self.connect()
        if not answered:
            try:
                self._send(head, body)
                self._read()
            except OSError as error:
                raise ServerGoneError from error
        return self.next()

    def wait_for_function(self, sees):
        """A spare environment waits for its function: the environment variables of the function that it becomes.

        `sees` are the names in the task root, by which the server knows that code can be put there.
        """
        import json

        path = "GET " + PREFIX + "lambda-home/function" + self._common
        try:
            self._send((path + "Lambda-Home-Sees: " + ",".join(sees)[:1000] + "\r\n\r\n").encode("utf-8"))
            status, _, body = self._read()
        except OSError as error:
            raise ServerGoneError from error
        if status != 200:
            raise ServerGoneError
        return json.loads(body)["environment"]

    def say(self, method, path, rest):
        """One exchange on a connection of its own; `rest` are further headers, the empty line and the body."""
        try:
            self._send((method + " " + PREFIX + path + self._common).encode("latin-1"), rest)
            self._read()
            self._sock.close()
        except OSError as error:
            raise ServerGoneError from error

    def report_init_error(self, error_type, body, phase="init"):
        """Tells why the function cannot be loaded, or restored; raises ServerGoneError."""
        if os.getpid() != self._pid:
            self.connect()
        head = self._head(phase + "/error", "init", "application/json", body, error_type)
        try:
            self._send(head, body)
            self._read()
        except OSError as error:
            raise ServerGoneError from error

    def begin_stream(self, request_id, content_type):
        """Starts a streamed response, on a new connection if this one was lost meanwhile; raises OSError, ServerGoneError."""
        if self._has_news():
            self.connect()
        head = (
            "POST %sinvocation/%s/response%sContent-Type: %s\r\nTransfer-Encoding: chunked\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
            # The headers leave before the output is known: always a fence.
            "Lambda-Home-Fence: 1\r\nLambda-Home-Peak-Kib: %d\r\n\r\n"
            % (PREFIX, request_id, self._common, content_type, self._output.peak_kib())
        )
        self._send(head.encode("latin-1"))

    def send_piece(self, *parts):
        """Sends a part of a streamed response; raises OSError when the server has refused it or is gone."""
        if self._has_news():
            raise BrokenPipeError("nobody reads the response any more")
        self._send(*parts)

    def finish_stream_and_next(self, request_id, tail, broken):
        """Writes the fence, sends the end of a streamed response (`tail`, perhaps nothing) and waits for the next invocation."""
        if os.getpid() != self._pid:
            os._exit(0)
        self._output.dirty = True
        self._output.fence(request_id)
        try:
            if not broken:
                self._send(tail, self._next)
                self._read()
                return self._invocation(self._read())
        except OSError:
            pass
        # Half of a response cannot be sent again: the server knows what it has.
        self.connect()
        return self.next()

    def _has_news(self):
        """Whether the server has said something, or hung up, though it is not its turn."""
        try:
            self._sock.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _head(self, path, fence_id, content_type, body, error_type):
        fenced = self._output.fence(fence_id)
        error = ""
        if error_type is not None:
            printable = "".join(c if " " <= c <= "~" else "?" for c in error_type)
            error = "Lambda-Runtime-Function-Error-Type: " + printable + "\r\n"
        return (
            "POST %s%s%sContent-Type: %s\r\nContent-Length: %d\r\nLambda-Home-Fence: %d\r\nLambda-Home-Peak-Kib: %d\r\n%s\r\n"
            % (PREFIX, path, self._common, content_type, len(body), fenced, self._output.peak_kib(), error)
        ).encode("latin-1")

    def _send(self, *parts):
        if sum(map(len, parts)) <= JOIN_LIMIT:
            self._sock.sendall(b"".join(parts))
        else:
            for part in parts:
                self._sock.sendall(part)

    def _invocation(self, answer):
        status, headers, body = answer
        if status != 200:
            raise ServerGoneError
        return headers, body

    def _read(self):
        """One HTTP answer: status, headers, body. Raises OSError when the connection ends early."""
        status = 100
        while status < 200:
            head = self._until(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            status = int(lines[0][9:12])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        length = headers.get(b"content-length")
        if length is not None:
            return status, headers, self._exactly(int(length))
        if b"transfer-encoding" in headers:
            return status, headers, self._chunked()
        return status, headers, b""

    def _chunked(self):
        chunks = []
        while True:
            size = int(self._until(b"\r\n").partition(b";")[0], 16)
            if size == 0:
                break
            chunks.append(self._exactly(size))
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass
        return b"".join(chunks)

    def _until(self, mark):
        data = self._unread
        end = data.find(mark)
        while end < 0:
            data += self._receive(JOIN_LIMIT)
            end = data.find(mark)
        self._unread = data[end + len(mark) :]
        return data[:end]

    def _exactly(self, size):
        data = self._unread
        missing = size - len(data)
        if missing <= 0:
            self._unread = data[size:]
            return data[:size]
        parts = [data]
        while missing:
            part = self._receive(min(missing, 1 << 20))
            parts.append(part)
            missing -= len(part)
        self._unread = b""
        return b"".join(parts)

    def _receive(self, size):
        data = self._sock.recv(size)
        if not data:
            raise ConnectionResetError
        return data

    def _abandon(self):
        self._sock.close()
