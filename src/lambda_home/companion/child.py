"""`--companion moto`: moto's server as a child process that lives and dies with this server.

The listening socket is made here and handed down, so the port is known before the child runs, and
connections wait in its queue while the child starts, also after it died. Standard input is a pipe
that nobody writes to: it ends with this process, however that ends, and the child with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

import httpx
import structlog

from lambda_home.arns import Scope
from lambda_home.companion.forwarding import CompanionDownError
from lambda_home.errors import ConfigurationError

READY: Final = "lambda_home: moto answers"
PREFIX: Final = "LAMBDA_HOME_COMPANION_"

_MODULE: Final = "lambda_home.companion.moto_server"
_NEEDED: Final = ("moto", "flask", "flask_cors")
_KEPT: Final = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
_BACKLOG: Final = 512
_START_S: Final = 60.0
_PATIENCE_S: Final = 45.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_STABLE_S: Final = 60.0
_HOPELESS: Final = 2  # starts that failed
_LONGEST_LINE: Final = 64 * 1024

_log = structlog.get_logger(__name__)


class MotoServer:
    """See `forwarding.Companion`. It listens on the loopback `port` from the beginning.

    `default` is the account and region of requests that name none. Raises ConfigurationError if
    moto is not installed.
    """

    def __init__(self, default: Scope) -> None:
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            raise ConfigurationError(
                f"--companion moto needs moto, and {missing[0]} is not installed: install"
                " lambda-home[aws]."
            )
        self._default = default
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._is_ready = False
        self._failures = 0
        self._settled = asyncio.Event()  # it is ready, or there is no hope that it soon will be
        self._last_words = ""
        self._task: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, functions_url: str, host: str) -> None:
        """Begin to keep it running; returns at once.

        It calls functions at `functions_url`, where it is known by the Host header.
        """
        variables = self._variables(functions_url, host)
        self._task = asyncio.get_running_loop().create_task(self._keep_running(variables))

    async def reset(self) -> None:
        """Let it forget everything (moto's own API); what does not run has nothing to forget."""
        if not self._is_ready:
            return
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without reading certificates for nothing
        try:
            async with httpx.AsyncClient(
                timeout=_PATIENCE_S, trust_env=False, verify=plain
            ) as client:
                await client.post(f"{self.url}/moto-api/reset")
        except httpx.HTTPError as error:
            _log.warning("moto's server could not be reset", reason=str(error))

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()

    async def until_ready(self) -> None:
        """Wait for a start that goes on. Raises CompanionDownError."""
        if not self._settled.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._settled.wait()
        if self._is_ready:
            return
        said = f" ({self._last_words})" if self._last_words else ""
        raise CompanionDownError(
            f"moto's server does not start{said}: see the server's log, then restart the server."
        )

    async def _keep_running(self, variables: Mapping[str, str]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = await self._run_once(variables)
            if time.monotonic() - began > _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            _log.error(
                "moto's server did not start"
                if self._failures
                else "moto's server has ended, and what it kept is gone",
                code=code,
                again_in_s=pause_s,
                last_words=self._last_words,
            )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _run_once(self, variables: Mapping[str, str]) -> int | None:
        """One life of the child; answers its exit code."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", _MODULE, str(self._socket.fileno())),
                env=variables,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(self._socket.fileno(),),
                start_new_session=True,  # a Ctrl-C at the terminal is for the server alone
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            self._last_words = str(error)
            self._ended()
            return None
        self.process = process
        listening = asyncio.ensure_future(self._listen(process))
        started = asyncio.ensure_future(self._give_up_on(process))
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._ended()
            started.cancel()
            await asyncio.gather(started, listening, return_exceptions=True)

    def _ended(self) -> None:
        if self._is_ready:
            self._settled.clear()
        else:
            self._failures += 1
            if self._failures >= _HOPELESS:
                self._settled.set()
        self._is_ready = False

    async def _give_up_on(self, process: asyncio.subprocess.Process) -> None:
        """End a child that is not ready in time."""
        await asyncio.sleep(_START_S)
        if not self._is_ready and process.returncode is None:
            self._last_words = f"not ready after {_START_S:.0f} s"
            process.kill()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Its output goes to our log; the line that it answers makes it ready."""
        output = process.stdout
        while output is not None:
            try:
                line = await output.readline()
            except ValueError:  # longer than any line has to be: what was read is dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            if text == READY:
                self._failures = 0
                self._is_ready = True
                self._settled.set()
                _log.info("moto's server answers", url=self.url)
            elif text:
                self._last_words = text[:500]
                _log.warning("moto", line=text[:2000])

    def _variables(self, functions_url: str, host: str) -> dict[str, str]:
        """The child's environment: nothing of this machine's AWS settings, and no way to Docker."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or name.startswith("MOTO_")
        }
        ours = {
            "URL": functions_url,
            "ACCOUNT": self._default.account,
            "REGION": self._default.region,
            "HOST": host,
        }
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            # Some of moto's services run containers for whoever asks, with mounts of their choice.
            "DOCKER_HOST": "unix:///dev/null/not-for-the-companion",
            # Whatever in moto calls AWS with boto3 calls this server, and as nobody.
            "AWS_ENDPOINT_URL": functions_url,
            "AWS_ACCESS_KEY_ID": self._default.account,
            "AWS_SECRET_ACCESS_KEY": "lambda-home",
            "AWS_DEFAULT_REGION": self._default.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "MOTO_ALLOW_NONEXISTENT_REGION": "true",
            "MOTO_DISABLE_GLOBAL_CORS": "true",
            "MOTO_PORT": str(self.port),
            "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true",
            **{PREFIX + name: value for name, value in ours.items()},
        }
