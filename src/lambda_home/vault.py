"""Encryption at rest: without a key nobody reads the secrets in the database, nor access keys.

Fernet tokens (https://cryptography.io/en/latest/fernet/): AES-128-CBC with an HMAC-SHA256.
The key comes from the setting `secrets.key`, else from a file in the data directory, which is made
when something is encrypted for the first time. Both may hold several keys: the first one encrypts,
all of them decrypt, so that a key can be replaced: a server that starts encrypts by the first key
what another one encrypted.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_home.errors import LambdaHomeError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

KEY_FILE = "secrets.key"
"""The name of the key file in the data directory."""
_SETTING = "The setting secrets.key"
_HOW_TO_MAKE = "a key is 32 random bytes in base64, as this prints: head -c32 /dev/urandom | base64"
_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=")  # stricter than Python's decoder, which takes a rest
_SEPARATORS = re.compile(r"[,\s]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LONGEST_FILE = 65_536


class VaultError(LambdaHomeError):
    """Nothing can be encrypted or decrypted; the message is one line that says what to do."""


class Vault:
    """Encrypts and decrypts texts; synchronous and usable from several threads.

    `keys` are those of the setting, separated by commas, empty without one; `is_in_use` tells
    whether there is anything encrypted already, which no new key could read.
    """

    def __init__(self, keys: str, file: Path, is_in_use: Callable[[], bool]) -> None:
        self._keys = keys.strip()
        self._file = file
        self._is_in_use = is_in_use
        self._lock = threading.Lock()
        self._fernet: MultiFernet | None = None
        self._first: Fernet | None = None

    def check(self) -> None:
        """Raise VaultError if there is a key that cannot be used."""
        with self._lock:
            self._load()

    def encrypt(self, text: str) -> str:
        """An encrypted text, of ASCII characters. Makes a key file if there is no key yet.

        Raises VaultError for a key that cannot be used, and for one that was there and is gone.
        """
        with self._lock:
            fernet = self._load()
            if fernet is None:
                if self._is_in_use():
                    raise VaultError(self._missing())
                self._make()
                fernet = self._load()
        if fernet is None:
            raise VaultError(self._missing())
        return fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """The text that was encrypted. Raises VaultError if no key here is the right one."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415  see _read

        with self._lock:
            fernet = self._load()
        if fernet is None:
            raise VaultError(self._missing())
        try:
            return fernet.decrypt(token).decode()
        except InvalidToken:
            where = _SETTING if self._keys else f"The file {self._file}"
            raise VaultError(
                f"{where} does not hold the key that this was encrypted with: give it back, or set"
                " every secret and make every access key anew."
            ) from None

    def renewed(self, token: str) -> str | None:
        """The same text encrypted by the first key.

        None if it is encrypted by that one, or by none that is here. Raises VaultError for a key
        that cannot be used.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415  see _read

        with self._lock:
            fernet, first = self._load(), self._first
        if fernet is None or first is None:
            return None
        with suppress(InvalidToken):
            first.decrypt(token)
            return None
        with suppress(InvalidToken):
            return fernet.rotate(token).decode()
        return None

    # --------------------------------------------------------------------------------------------

    def _load(self) -> MultiFernet | None:
        """The keys, read once they are there."""
        if self._fernet is None:
            if self._keys:
                self._take(_read(self._keys, _SETTING))
            elif (text := self._text()) is not None:
                self._take(_read(text, f"The key file {self._file}"))
        return self._fernet

    def _take(self, keys: list[Fernet]) -> None:
        from cryptography.fernet import MultiFernet  # noqa: PLC0415  see _read

        self._fernet, self._first = MultiFernet(keys), keys[0]

    def _text(self) -> str | None:
        """What the key file holds, None without one; it must be ours alone."""
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VaultError(
                f"The key file {self._file} cannot be read: {error.strerror}."
            ) from error
        try:
            fault = _fault(os.fstat(descriptor))
            if fault is not None:
                raise VaultError(f"The key file {self._file} {fault}.")
            return os.read(descriptor, _LONGEST_FILE).decode("ascii", "replace")
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        """Make a key file, unless another process has done so meanwhile."""
        from cryptography.fernet import Fernet  # noqa: PLC0415  see _read

        beside = self._file.with_name(f".{self._file.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(beside, self._file)  # whole, or not at all; never over another key
            except FileExistsError:
                return
            _sync_folder(self._file.parent)
        except OSError as error:
            raise VaultError(
                f"The key file {self._file} cannot be made: {error.strerror}."
            ) from error
        finally:
            beside.unlink(missing_ok=True)

    def _missing(self) -> str:
        return (
            f"The key of the secrets and access keys is gone: put {self._file} back, or set"
            " LAMBDA_HOME_SECRETS__KEY to what it held."
        )


def _fault(status: os.stat_result) -> str | None:
    """What keeps a file from being a key file."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if status.st_uid not in {0, os.geteuid()}:
        return "belongs to another user: give it to the one that lambda_home runs as"
    if status.st_mode & _OTHERS:
        return "is open to other users: run chmod 600 on it"
    return None


def _read(text: str, where: str) -> list[Fernet]:
    # Costs 20 ms, which a server without secrets need not spend.
    from cryptography.fernet import Fernet  # noqa: PLC0415

    keys = [key for key in _SEPARATORS.split(text) if key]
    if not keys:
        raise VaultError(f"{where} is empty: {_HOW_TO_MAKE}.")
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            which = f"key {number} of {len(keys)}" if len(keys) > 1 else "what it holds"
            raise VaultError(f"{where}: {which} is not a key; {_HOW_TO_MAKE}.")
    return [Fernet(key) for key in keys]


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut, as the database does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
