"""Several requests in one environment: one process for each, as AWS has it. Loaded where AWS_LAMBDA_MAX_CONCURRENCY asks for it.

Each process loads the function for itself (connections and threads made while loading cannot be shared over a fork) and has its own
connection to the runtime API. All of them write to one pipe: every line of a request names it, and is written whole.
Reference: https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-python-runtime.html
"""

import atexit
import os

import _signal
import _thread

# Up to this many bytes the kernel keeps a write to a pipe in one piece, also against writers that know no lock.
PIPE_BUF = 4096
F_SETSIG = 10
LONGEST_LINE = 256 * 1024


def load_in_each(count, output, load):
    """Starts `count` workers. Returns what `load` returns, in each of them; the parent waits and ends as they do."""
    parent = os.getpid()
    lock = _lock_file()
    token, giver = os.pipe()
    os.write(giver, b"1")
    workers = set()
    stopping = []

    def stop(number, frame):
        stopping.append(number)
        for pid in list(workers):
            os.kill(pid, number)

    before = _signal.signal(_signal.SIGTERM, stop)
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.close(giver)
            _die_with_parent(parent, token)
            _signal.signal(_signal.SIGTERM, before)
            TaggedOutput(output, lock)
            function = load()
            if function.fault is not None:
                # They fail alike, and one report is enough: the others wait here for their end.
                os.read(token, 1)
            os.close(token)
            return function
        workers.add(pid)
    _end_as(_wait(workers, stopping))


def _die_with_parent(parent, pipe):
    """Only the parent holds the other end of `pipe`: the kernel kills this process when that end is closed."""
    try:
        import fcntl

        # Opened anew: who is told, and how, is a matter of the open file, which the workers share.
        own = os.open("/proc/self/fd/%d" % pipe, os.O_RDONLY)
        fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(own, F_SETSIG, _signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC)
    except (ImportError, OSError):
        # Then it ends when the server closes its connection.
        return
    if os.getppid() != parent:
        os._exit(1)


def _wait(workers, stopping):
    """Until all are gone; the status of the first. One that dies takes the others along, unless they were told to stop."""
    first = 0
    everyone = len(workers)
    while workers:
        # As process 1 of a container this one also inherits children of others.
        pid, status = os.wait()
        if pid not in workers:
            continue
        workers.discard(pid)
        if len(workers) == everyone - 1:
            first = status
            if not stopping:
                for other in workers:
                    os.kill(other, _signal.SIGKILL)
    return first


def _end_as(status):
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if not number:
        os._exit(os.WEXITSTATUS(status))
    try:
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    finally:
        # Process 1 of a container does not die of its own signals.
        os._exit(128 + number)


def _lock_file():
    try:
        return os.memfd_create("output")
    except (AttributeError, OSError):
        return None


class TaggedOutput:
    """Takes over an `Output`: lines of a request become `\\x1eFROM <request id>\\x1e<line>`, whole lines only."""

    def __init__(self, output, lock_file):
        self._output = output
        self._put = output.write
        self._put_fence = output.fence
        self._file = lock_file
        self._lock = _thread.RLock()
        self._fd = 1
        # The beginning of a line whose end has not been written, and the request it belongs to.
        self._rest = bytearray()
        self._owner = None
        self._fenced = None
        output.write = self.write
        output.fence = self.fence
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.flush)

    def write(self, fd, data):
        """Writes the lines that `data` completes."""
        self._output.dirty = True
        with self._lock:
            owner = self._output.request_id
            if owner == self._fenced:
                # Between two requests: nobody knows whose output it is.
                owner = None
            if owner != self._owner:
                self.flush()
                self._owner = owner
            self._fd = fd
            end = data.rfind(b"\n") + 1
            if not end:
                self._rest += data
                if len(self._rest) > LONGEST_LINE:
                    self.flush()
                return
            lines = bytes(self._rest) + data[:end]
            self._rest = bytearray(data[end:])
            self._lines(lines)

    def flush(self):
        """Ends a line that was left open."""
        with self._lock:
            if self._rest:
                line = bytes(self._rest) + b"\n"
                self._rest = bytearray()
                self._lines(line)

    def fence(self, request_id):
        """The fence of a request, after all of its lines; whether it wrote any."""
        with self._lock:
            self.flush()
            self._fenced = request_id
            self._hold(os.F_LOCK)
            try:
                return self._put_fence(request_id)
            finally:
                self._hold(os.F_ULOCK)

    def _lines(self, data):
        if self._owner is not None:
            tag = ("\x1eFROM " + self._owner + "\x1e").encode("latin-1")
            data = tag + data[:-1].replace(b"\n", b"\n" + tag) + b"\n"
        self._hold(os.F_LOCK)
        try:
            while data:
                size = len(data)
                if size > PIPE_BUF:
                    # As many lines as stay in one piece; a longer line goes alone.
                    size = data.rfind(b"\n", 0, PIPE_BUF) + 1 or data.index(b"\n") + 1
                self._put(self._fd, data[:size])
                data = data[size:]
        finally:
            self._hold(os.F_ULOCK)

    def _hold(self, how):
        # Against the other workers. The kernel lets go of it when a worker dies.
        if self._file is not None:
            try:
                os.lockf(self._file, how, 0)
            except OSError:
                # The function has closed every descriptor it found.
                self._file = None

    def _forked(self):
        self._lock = _thread.RLock()
        self._rest = bytearray()
