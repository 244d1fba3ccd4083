"""What the function writes: one ordered stream on file descriptor 1, and the fences that mark the end of a request's part.

`sys.stdout` and `sys.stderr` are unbuffered, as on AWS: nothing is lost when the process is killed. The platform's own lines
(log records, errors, fences) go through a private duplicate, so a function that closes or replaces `sys.stdout` loses only its own.
"""

import os
import resource
import sys

from io import RawIOBase, TextIOWrapper

# AWS's runtime has not imported it: a deployment package may have its own module of this name.
del sys.modules["resource"]

FAULTS_WORTH_A_LOOK = 32


class Output:
    """The process's output; `dirty` tells whether anything was written since the last fence."""

    def __init__(self):
        os.dup2(1, 2)
        self._fd = os.dup(1)
        self.dirty = False
        # The running invocation, for log records.
        self.request_id = None
        self.tenant_id = None
        self._children_faults = 0
        self._inherited_kib = _inherited_peak_kib()
        self._peak_kib = 0
        self._faults_at_peak = -FAULTS_WORTH_A_LOOK
        sys.stdout = sys.__stdout__ = self._stream(1, "<stdout>", "strict")
        sys.stderr = sys.__stderr__ = self._stream(2, "<stderr>", "backslashreplace")

    def _stream(self, fd, name, errors):
        return TextIOWrapper(Raw(self, fd, name), "utf-8", errors, "\n", write_through=True)

    def log(self, text):
        """Writes a record of the platform; a missing line end is added, as records are separate events on AWS."""
        if not text.endswith("\n"):
            text += "\n"
        self.write(self._fd, text.encode("utf-8", "backslashreplace"))

    def write(self, fd, data):
        """Writes all of `data`, however long the reader takes."""
        self.dirty = True
        written = os.write(fd, data)
        size = len(data)
        if written < size:
            rest = memoryview(data)
            while written < size:
                written += os.write(fd, rest[written:])
        # Again, in case another thread's fence came between.
        self.dirty = True

    def fence(self, request_id):
        """Marks the end of a request's output if there was any; whether it did. Finished child processes count as output."""
        faults = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        if faults != self._children_faults:
            self._children_faults = faults
            self.dirty = True
        if not self.dirty:
            return False
        self.dirty = False
        try:
            os.write(self._fd, ("\x1eFENCE " + request_id + "\x1e\n").encode("latin-1"))
        except OSError:
            return False
        return True

    def peak_kib(self):
        """The peak resident memory of this process in KiB."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        if usage.ru_maxrss > self._inherited_kib:
            return usage.ru_maxrss
        # Memory does not grow without page faults: without new ones the last value stands.
        if usage.ru_minflt - self._faults_at_peak >= FAULTS_WORTH_A_LOOK:
            self._faults_at_peak = usage.ru_minflt
            self._peak_kib = _peak_now_kib()
        return self._peak_kib


class Raw(RawIOBase):
    """The unbuffered byte stream below `sys.stdout` and `sys.stderr`; closing it leaves the descriptor open."""

    mode = "wb"

    def __init__(self, output, fd, name):
        self._output = output
        self._fd = fd
        self.name = name

    def write(self, data):
        """Writes all of `data` (bytes, or any buffer through `sys.stdout.buffer`)."""
        if self.closed:
            raise ValueError("write to closed file")
        if not isinstance(data, bytes):
            data = bytes(data)
        self._output.write(self._fd, data)
        return len(data)

    def writable(self):
        """Always: it is an output stream."""
        return True

    def fileno(self):
        """The descriptor, for child processes and terminals."""
        return self._fd

    def isatty(self):
        """Asked by libraries that colour their output."""
        return os.isatty(self._fd)


def _peak_now_kib():
    """VmHWM from the kernel: exact, but ten times the price of getrusage."""
    try:
        with open("/proc/self/status", "rb") as status:
            text = status.read()
        return int(text[text.index(b"VmHWM:") + 6 :].split(None, 1)[0])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _inherited_peak_kib():
    """getrusage remembers the peak of the image before exec: up to that value it says nothing about this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if peak > _peak_now_kib() + 1024 else 0
