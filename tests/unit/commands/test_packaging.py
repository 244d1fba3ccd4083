from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

import pytest

from lambda_home.commands import packaging
from lambda_home.commands.failures import WrongUse
from lambda_home.commands.packaging import package_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fn"
    (made / "sub").mkdir(parents=True)
    (made / "app.py").write_text("def handler(e, c): pass\n")
    (made / "sub" / "tool").write_text("#!/bin/sh\n")
    (made / "sub" / "tool").chmod(0o700)
    return made


def entries(content: bytes) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry.filename: entry for entry in archive.infolist()}


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_modes(folder: Path) -> None:
    first = package_of(folder).content
    os.utime(folder / "app.py", (1, 1_700_000_000))
    (folder / "app.py").chmod(0o600)
    assert package_of(folder).content == first
    (folder / "app.py").write_text("changed")
    assert package_of(folder).content != first


def test_programs_stay_executable_and_nothing_is_unreadable(folder: Path) -> None:
    package = package_of(folder)
    modes = {name: entry.external_attr >> 16 for name, entry in entries(package.content).items()}
    assert modes == {"app.py": 0o100644, "sub/tool": 0o100755}
    assert package.executables == {"sub/tool"}
    assert package.text("sub/tool") == "#!/bin/sh\n"


def test_what_the_ignore_file_names_stays_out(folder: Path) -> None:
    (folder / ".lambdaignore").write_text("sub/\n*.md\n")
    (folder / "notes.md").touch()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.cpython-311.pyc").touch()
    assert package_of(folder).names == {"app.py"}


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    (folder / "again.py").symlink_to("app.py")
    (folder / "other").symlink_to("sub")
    package = package_of(folder)
    assert package.names == {"again.py", "app.py", "other/tool", "sub/tool"}
    assert package.text("again.py") == package.text("app.py")


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("passwd", "/etc/passwd", "leads out of the folder"),
        ("up", "..", "leads out of the folder"),
        ("gone", "nothing", "leads nowhere"),
        ("self", "self", "leads nowhere"),
        ("sub/loop", "../sub", "a folder that it is in"),
        ("here", ".", "a folder that it is in"),
    ],
)
def test_links_to_elsewhere_and_loops_are_refused(
    folder: Path, link: str, target: str, message: str
) -> None:
    (folder / link).symlink_to(target)
    with pytest.raises(WrongUse, match=f"{link}.*{message}"):
        package_of(folder)
    (folder / ".lambdaignore").write_text(f"/{link}\n")
    assert package_of(folder).names == {"app.py", "sub/tool"}


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    alias = folder.parent / "alias"
    alias.symlink_to(folder)
    assert package_of(alias).content == package_of(folder).content


def test_one_file_is_a_package_and_a_zip_is_taken_as_it_is(folder: Path) -> None:
    assert package_of(folder / "app.py").names == {"app.py"}
    content = package_of(folder).content
    archive = folder.parent / "fn.zip"
    archive.write_bytes(content)
    package = package_of(archive)
    assert (package.content, set(package.executables)) == (content, {"sub/tool"})


def test_what_cannot_be_packed_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.zip").write_text("no zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "in")
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "app.py").write_text("12345")
    monkeypatch.setattr(packaging, "LARGEST_UNPACKED", 4)
    for name, message in (
        ("nowhere", "There is no"),
        ("bad.zip", "is not a ZIP"),
        ("empty", "nothing to deploy"),
        ("pipe", "neither a file nor a folder"),
        ("big", "has 5 bytes, and Lambda takes 4"),
    ):
        with pytest.raises(WrongUse, match=message) as caught:
            package_of(tmp_path / name)
        assert not re.search(r"\n", str(caught.value))


def test_a_zip_whose_files_are_encrypted_is_no_crash(folder: Path) -> None:
    content = bytearray(package_of(folder).content)
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive = folder.parent / "fn.zip"
    archive.write_bytes(content)
    with pytest.raises(WrongUse, match=r"app\.py in the ZIP cannot be read"):
        package_of(archive).text("app.py")


def test_names_that_no_zip_can_hold_are_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py")).touch()
    with pytest.raises(WrongUse, match="UTF-8"):
        package_of(folder)


def test_a_zip_that_no_request_can_have_is_refused_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("x = 1")
    size = len(package_of(tmp_path).content)
    monkeypatch.setattr(packaging, "LARGEST_SENT", size)
    assert len(package_of(tmp_path).content) == size
    monkeypatch.setattr(packaging, "LARGEST_SENT", size - 1)
    with pytest.raises(WrongUse, match=rf"ZIP of {size} bytes.*\.lambdaignore"):
        package_of(tmp_path)
