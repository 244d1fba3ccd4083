"""The vault: keys from the setting or from a file that is ours alone; what it says if they fail."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from lambda_home.vault import KEY_FILE, Vault, VaultError

FIRST, SECOND, THIRD = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / KEY_FILE


def vault(file: Path, keys: str = "", *, in_use: bool = False) -> Vault:
    return Vault(keys, file, lambda: in_use)


def write(file: Path, text: str, mode: int = 0o600) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


@pytest.mark.parametrize("text", ["", "secret", "ü\n\0", "x" * 65_536])
def test_what_is_encrypted_comes_back_and_is_not_readable(file: Path, text: str) -> None:
    token = vault(file).encrypt(text)
    assert token.isascii()
    assert not text or text not in token
    assert vault(file, in_use=True).decrypt(token) == text


def test_nothing_is_made_before_something_is_encrypted(file: Path) -> None:
    vault(file).check()
    assert not file.parent.exists()


def test_the_key_file_is_ours_alone_whatever_the_umask(file: Path) -> None:
    before = os.umask(0)
    try:
        vault(file).encrypt("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [KEY_FILE]


def test_two_that_begin_at_once_have_one_key(file: Path) -> None:
    vaults = [vault(file) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda each: each.encrypt("x"), vaults))
    assert {each.decrypt(token) for each in vaults for token in tokens} == {"x"}


def test_a_key_may_be_in_either_form_of_base64(file: Path) -> None:
    url_safe = Fernet.generate_key().decode()
    other = url_safe.replace("-", "+").replace("_", "/")
    assert vault(file, other).decrypt(vault(file, url_safe).encrypt("x")) == "x"


def test_the_setting_goes_before_the_file(file: Path) -> None:
    write(file, FIRST)
    token = vault(file, SECOND).encrypt("x")
    assert vault(file, SECOND).decrypt(token) == "x"
    with pytest.raises(VaultError, match=r"secrets\.key does not hold the key"):
        vault(file, THIRD).decrypt(token)
    with pytest.raises(VaultError, match="does not hold the key"):
        vault(file).decrypt(token)


@pytest.mark.parametrize("separator", [",", ", ", "\n"])
def test_the_first_of_several_keys_encrypts_and_all_decrypt(file: Path, separator: str) -> None:
    old = vault(file, FIRST).encrypt("x")
    both = f"{SECOND}{separator}{FIRST}\n"
    write(file, both)
    for rotated in (vault(file, both), vault(file)):
        assert rotated.decrypt(old) == "x"
        new = rotated.encrypt("y")
        assert vault(file, SECOND).decrypt(new) == "y"


@pytest.mark.parametrize(
    "bad",
    ["short", FIRST[:-2], FIRST + "AAAA", f"{FIRST},nonsense", "ü" * 44, "!" * 44, ",", "0" * 64],
)
def test_a_malformed_key_is_refused_without_being_shown(file: Path, bad: str) -> None:
    write(file, bad)
    for refusing in (vault(file, bad), vault(file)):
        for _ in range(2):
            with pytest.raises(VaultError) as refused:
                refusing.check()
            with pytest.raises(VaultError):
                refusing.encrypt("x")
            (line,) = str(refused.value).splitlines()
            assert "base64" in line
            assert all(part.strip(",") not in line for part in bad.split(",") if part)


def test_an_empty_key_file_is_refused(file: Path) -> None:
    write(file, "\n")
    with pytest.raises(VaultError, match="is empty"):
        vault(file).check()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o666, 0o601])
def test_a_key_file_that_others_may_open_is_refused(file: Path, mode: int) -> None:
    write(file, FIRST, mode)
    with pytest.raises(VaultError, match="chmod 600"):
        vault(file).check()


def test_a_folder_in_the_place_of_the_key_file_is_refused(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(VaultError, match=KEY_FILE):
        vault(file).check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_file_of_somebody_else_is_refused(file: Path) -> None:
    write(file, FIRST)
    os.chown(file, 12_345, 12_345)
    with pytest.raises(VaultError, match="belongs to another user"):
        vault(file).check()


def test_a_key_that_is_gone_is_told_at_use_and_no_new_one_is_made(file: Path) -> None:
    token = vault(file).encrypt("x")
    file.unlink()
    gone = vault(file, in_use=True)
    gone.check()
    with pytest.raises(VaultError, match="is gone"):
        gone.encrypt("y")
    with pytest.raises(VaultError, match="is gone"):
        gone.decrypt(token)
    assert not file.exists()
    with pytest.raises(VaultError, match="is gone"):
        vault(file).decrypt(token)


def test_a_key_that_is_put_back_is_found_without_a_restart(file: Path) -> None:
    token = vault(file).encrypt("x")
    elsewhere = file.rename(file.with_name("elsewhere"))
    waiting = vault(file, in_use=True)
    with pytest.raises(VaultError):
        waiting.decrypt(token)
    elsewhere.rename(file)
    assert waiting.decrypt(token) == "x"


def test_a_token_that_was_tampered_with_is_refused(file: Path) -> None:
    used = vault(file)
    token = used.encrypt("x")
    changed = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    for wrong in (changed, "", "nonsense", token[:-4]):
        with pytest.raises(VaultError):
            used.decrypt(wrong)


def test_what_another_key_encrypted_is_encrypted_by_the_first_from_now_on(file: Path) -> None:
    old, current = (vault(file, key).encrypt("geheim") for key in (FIRST, SECOND))
    both = vault(file, f"{SECOND},{FIRST}")
    token = both.renewed(old)
    assert token is not None
    assert vault(file, SECOND).decrypt(token) == "geheim"
    assert both.renewed(token) is None
    assert both.renewed(current) is None
    assert both.renewed(vault(file, THIRD).encrypt("x")) is None, "of a key that is not here"
    assert vault(file, SECOND).renewed(old) is None


def test_without_a_key_there_is_nothing_to_encrypt_anew(file: Path) -> None:
    assert vault(file).renewed("token") is None
    assert not file.exists()
