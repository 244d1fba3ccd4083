from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zips import FILE, FOLDER, LINK, Item, hand_made, zip_of

from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    RequestEntityTooLargeException,
)
from lambda_home.packager.archive import (
    MAX_ENTRIES,
    NO_TIME,
    Archive,
    Entry,
    Kind,
    check_contents,
    check_uploaded,
    code_of,
    content,
    inspect,
)

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
UNZIPPED = "Unzipped size must be smaller than 262144000 bytes"
MEBIBYTE = 1 << 20


def entries_of(data: bytes) -> dict[str, Entry]:
    return {entry.path: entry for entry in inspect(data).entries}


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidParameterValueException) as caught:
        inspect(data)
    return str(caught.value)


def refusal_of_contents(data: bytes) -> str:
    archive = inspect(data)
    with pytest.raises(InvalidParameterValueException) as caught:
        check_contents(archive, data)
    return str(caught.value)


# What a ZIP holds


def test_code_names_the_bytes_as_aws_does() -> None:
    data = zip_of({"a.py": "x"})
    digest = hashlib.sha256(data)
    code = code_of(data)
    assert code.key == digest.hexdigest()
    assert code.sha256 == base64.b64encode(digest.digest()).decode()
    assert code.size == len(data)


def test_entries_come_with_parents_first_and_implied_directories() -> None:
    archive = inspect(zip_of({"b/c/d.py": "1", "b-a.py": "22", "a.py": "333", "empty/": ""}))
    assert [(e.path, e.kind, e.size) for e in archive.entries] == [
        ("a.py", Kind.FILE, 3),
        ("b", Kind.DIRECTORY, 0),
        ("b-a.py", Kind.FILE, 2),
        ("b/c", Kind.DIRECTORY, 0),
        ("b/c/d.py", Kind.FILE, 1),
        ("empty", Kind.DIRECTORY, 0),
    ]
    assert archive.size == 6


def test_a_file_object_is_read_from_its_beginning() -> None:
    data = zip_of({"a.py": "x"})
    file = io.BytesIO(data)
    file.seek(7)
    assert inspect(file) == inspect(data) == inspect(memoryview(data))


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        (0, 0o644),
        (FILE, 0o644),
        (stat.S_IFREG | 0o600, 0o644),
        (stat.S_IFREG | 0o664, 0o664),
        (stat.S_IFREG | 0o755, 0o755),
        (stat.S_IFREG | 0o700, 0o755),
        (stat.S_IFREG | 0o7755, 0o755),
        (0o600, 0o644),
    ],
)
def test_everyone_can_read_a_file_and_nothing_is_set_id(made: int, kept: int) -> None:
    assert entries_of(hand_made([Item("a", mode=made)]))["a"].mode == kept


@pytest.mark.parametrize(
    ("made", "kept"), [(0, 0o755), (FOLDER, 0o755), (stat.S_IFDIR | 0o1700, 0o755)]
)
def test_everyone_can_enter_a_directory(made: int, kept: int) -> None:
    assert entries_of(hand_made([Item("d/", b"", made)]))["d"].mode == kept


def test_a_directory_needs_no_slash_where_the_mode_says_so() -> None:
    assert entries_of(hand_made([Item("d", b"", FOLDER)]))["d"].kind is Kind.DIRECTORY


def test_times_are_kept_and_impossible_ones_replaced() -> None:
    entries = entries_of(hand_made([Item("a"), Item("b", date=(0xFFFF, 0)), Item("c/d")]))
    assert entries["a"].modified == 1_612_310_400  # 2021-02-03T00:00:00Z
    assert entries["b"].modified == NO_TIME
    assert entries["c"].modified == NO_TIME


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (Item("grüße/日本.py", flags=0x800), "grüße/日本.py"),
        (Item("grüße.py"), "grüße.py"),  # macOS: UTF-8 without the flag
        (Item(b"gr\x81\xe1e.py"), "grüße.py"),  # CP437
        (Item("back\\slash.py"), "back\\slash.py"),
        (Item("\\\\server\\share"), "\\\\server\\share"),
        (Item("./a//b/./c.py"), "a/b/c.py"),
        (Item("..a/...b"), "..a/...b"),
    ],
)
def test_names_are_decoded_and_normalised_but_backslashes_stay(item: Item, name: str) -> None:
    entry = inspect(hand_made([item])).entries[-1]
    assert (entry.path, entry.kind) == (name, Kind.FILE)


def test_a_unicode_path_field_gives_the_name_if_it_belongs_to_it() -> None:
    raw = b"gr?n.py"
    name = "grün.py".encode()
    for crc, expected in ((zlib.crc32(raw), "grün.py"), (1, "gr?n.py")):
        extra = struct.pack("<2HBL", 0x7075, 5 + len(name), 1, crc) + name
        assert list(entries_of(hand_made([Item(raw, extra=extra)]))) == [expected]


def test_case_is_significant() -> None:
    assert set(entries_of(hand_made([Item("a"), Item("A")]))) == {"a", "A"}


def test_the_root_itself_may_be_an_entry() -> None:
    assert list(entries_of(hand_made([Item("./", b"", FOLDER), Item("./a")]))) == ["a"]


@pytest.mark.parametrize("method", [0, 8])
def test_content_comes_in_bounded_chunks(method: int) -> None:
    text = b"0123456789abcdef" * (3 * MEBIBYTE // 16) + b"end"
    data = hand_made([Item("a", text, method=method)])
    chunks = list(content(inspect(data).entries[0], data))
    assert b"".join(chunks) == text
    assert max(map(len, chunks)) <= MEBIBYTE


@pytest.mark.parametrize("method", [0, 8])
def test_an_empty_file_has_no_content(method: int) -> None:
    data = hand_made([Item("a", b"", method=method)])
    assert not b"".join(content(inspect(data).entries[0], data))


def test_zip64_records_are_read() -> None:
    data = hand_made([Item("a", b"text", zip64=True), Item("b", zip64=True)], zip64=True)
    archive = inspect(data)
    assert [(e.path, e.size) for e in archive.entries] == [("a", 4), ("b", 1)]
    check_contents(archive, data)


def test_zip64_of_zipfile_is_read() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w") as package,
        package.open("a.bin", "w", force_zip64=True) as file,
    ):
        file.write(b"content")
    archive = inspect(buffer.getvalue())
    assert b"".join(content(archive.entries[0], buffer.getvalue())) == b"content"


def test_a_zip_written_to_a_pipe_is_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object, /) -> int:
            assert isinstance(data, bytes | bytearray | memoryview)
            self.written += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as package:  # data descriptors
        package.writestr("a.py", "print(1)" * 50)
        package.writestr("b.py", "print(2)")
    archive = inspect(pipe.written)
    check_contents(archive, pipe.written)
    assert [entry.path for entry in archive.entries] == ["a.py", "b.py"]


@pytest.mark.parametrize("zip64", [False, True])
def test_a_program_may_stand_before_the_zip(*, zip64: bool) -> None:
    data = hand_made([Item("a", b"text")], before=b"#!/bin/sh\nexec java -jar $0\n", zip64=zip64)
    assert b"".join(content(inspect(data).entries[0], data)) == b"text"


def test_a_comment_may_stand_behind_the_zip() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("a.py", "x")
        package.comment = b"c" * 65535
    assert list(entries_of(buffer.getvalue())) == ["a.py"]


# What is no ZIP


@pytest.mark.parametrize("data", [b"", zip_of({}), hand_made([Item("./", b"", FOLDER)])])
def test_nothing_is_not_a_package(data: bytes) -> None:
    assert refusal(data) == "Uploaded file must be a non-empty zip"


@pytest.mark.parametrize(
    "data",
    [
        b"no zip at all",
        zip_of({"a.py": "x" * 99})[:-30],
        zip_of({"a.py": "x" * 99})[30:],
        b"PK\x05\x06" + b"\xff" * 18,
        b"PK\x05\x06",
        hand_made([Item("a", local_name=b"b")]),
        hand_made([Item("a", header_at=3)]),
        hand_made([Item("a", header_at=9999)]),
        hand_made([Item(b"\xff\xfe", flags=0x800)]),
        hand_made([Item("a", zip64=True)]).replace(struct.pack("<2H", 1, 24), b"\x99\x99\x18\0"),
    ],
)
def test_a_broken_zip_is_refused_in_aws_words(data: bytes) -> None:
    assert refusal(data) == UNREADABLE


# Size


def test_an_upload_has_a_limit_of_its_own() -> None:
    with pytest.raises(RequestEntityTooLargeException) as caught:
        check_uploaded(bytes(52_428_800))
    assert str(caught.value) == "Zipped size must be smaller than 52428800 bytes"
    check_uploaded(bytes(52_428_799))


def test_a_file_object_over_the_limit_is_refused_without_reading_on(tmp_path: Path) -> None:
    sparse = tmp_path / "large.zip"
    with sparse.open("w+b") as file:
        file.truncate(262_144_100)
        with pytest.raises(InvalidParameterValueException) as caught:
            inspect(file)
        assert file.tell() == 262_144_001
    assert str(caught.value) == UNZIPPED


def test_declared_sizes_are_added_up() -> None:
    half = 131_072_000
    inspect(hand_made([Item("a", size=half), Item("b", size=half - 1)]))
    assert refusal(hand_made([Item("a", size=half), Item("b", size=half)])) == UNZIPPED


def test_an_absurd_zip64_size_is_too_large() -> None:
    assert refusal(hand_made([Item("a", size=2**63, zip64=True)])) == UNZIPPED


def test_a_header_that_declares_too_little_is_caught_while_unpacking() -> None:
    bomb = hand_made([Item("a", bytes(64 * MEBIBYTE), size=10)])
    produced = 0
    archive = inspect(bomb)
    with pytest.raises(InvalidParameterValueException) as caught:  # noqa: PT012
        for chunk in content(archive.entries[0], bomb):
            produced += len(chunk)
    assert str(caught.value) == UNREADABLE
    assert produced == 0


@pytest.mark.parametrize(
    "item",
    [
        Item("a", b"text", size=5),
        Item("a", b"text", size=3),
        Item("a", b"text", method=0, size=3),
        Item("a", b"text", method=0, size=5),
        Item("a", b"text", crc=1),
        Item("a", b"", crc=1),
        Item("a", b"text", size=0),
    ],
)
def test_contents_must_be_what_the_header_says(item: Item) -> None:
    assert refusal_of_contents(hand_made([item])) == UNREADABLE


def test_cut_off_compressed_data_is_refused() -> None:
    whole = Item("a", bytes(range(256)) * 40)
    cut = Item("a", whole.packed[:-9], method=0, size=len(whole.content), crc=whole.claimed_crc)
    data = hand_made([cut])
    stored = struct.pack("<H", 0)
    deflated = struct.pack("<H", 8)
    assert data[8:10] == stored
    central = data.index(b"PK\1\2")
    data = data[:8] + deflated + data[10 : central + 10] + deflated + data[central + 12 :]
    assert refusal_of_contents(data) == UNREADABLE


def test_entries_that_share_bytes_are_refused() -> None:
    kernel = Item("kernel", bytes(MEBIBYTE))
    again = Item("kernel", bytes(MEBIBYTE), header_at=0)
    assert "shares its bytes" in refusal(hand_made([kernel, again]))


def test_an_entry_that_quotes_the_next_one_is_refused() -> None:
    inner = Item("b", b"inner")
    outer = Item("a", inner.local() + b"tail", method=0)
    quoted = Item("b", b"inner", header_at=len(outer.local()) - len(outer.content))
    assert "entry 'b' shares its bytes" in refusal(hand_made([outer, quoted]))


def test_data_may_not_reach_into_the_directory() -> None:
    data = bytearray(hand_made([Item("a", b"text", method=0)]))
    central = data.index(b"PK\1\2")
    data[central + 20 : central + 28] = struct.pack("<2L", 40, 40)
    assert refusal(bytes(data)) == UNREADABLE


def test_too_many_entries_are_refused_before_all_are_read() -> None:
    one = hand_made([Item("a", b"", method=0)])
    central = one.index(b"PK\1\2")
    directory = one[central:-22] * (MAX_ENTRIES + 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), central, 0)
    assert refusal(one[:central] + directory + end) == (
        "Could not use uploaded file: it has more than 200000 entries."
    )


def test_implied_directories_count_as_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_home.packager.archive.MAX_ENTRIES", 10)
    assert "more than 10 entries" in refusal(hand_made([Item("a/b/c/d/e/f/g/h/i/j/k")]))


# Names, kinds, links


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([Item("../a")], "entry '../a' has '..' in its path"),
        ([Item("a/../../b")], "has '..' in its path"),
        ([Item("a/..", b"", FOLDER)], "has '..' in its path"),
        ([Item("../", b"")], "has '..' in its path"),
        ([Item("/etc/passwd")], "entry '/etc/passwd' has an absolute path"),
        ([Item("//server/a")], "has an absolute path"),
        ([Item("C:/a")], "has an absolute path"),
        ([Item("c:\\a")], "has an absolute path"),
        ([Item("a.py\0.txt")], "has a NUL byte in its name"),
        ([Item("")], "has no file name"),
        ([Item(".")], "has no file name"),
        ([Item("a/.")], "has no file name"),
        ([Item("a" * 256)], "has a path that is too long"),
        ([Item("ä" * 128)], "has a path that is too long"),
        ([Item("a/" * 1024 + "b")], "has a path that is too long"),
        ([Item("a/" * 128 + "b")], "has a path that is too long"),
        ([Item("a"), Item("a")], "entry 'a' is there more than once"),
        ([Item("a/b"), Item("a/./b")], "entry 'a/./b' is there more than once"),
        ([Item("a/", b"", FOLDER), Item("a/", b"", FOLDER)], "is there more than once"),
        ([Item("a"), Item("a/", b"")], "is there more than once"),
        ([Item("a"), Item("a/b")], "entry 'a/b' lies below a file"),
        ([Item("a/b/c"), Item("a")], "entry 'a/b/c' lies below a file"),
        ([Item("l", b"d", LINK), Item("l/x")], "entry 'l/x' lies below a symlink"),
        ([Item("l/d/x"), Item("l", b"d", LINK)], "entry 'l/d/x' lies below a symlink"),
        ([Item("d", mode=stat.S_IFCHR | 0o666)], "is neither a file nor"),
        ([Item("d", mode=stat.S_IFBLK | 0o666)], "is neither a file nor"),
        ([Item("d", mode=stat.S_IFIFO | 0o666)], "is neither a file nor"),
        ([Item("d", mode=stat.S_IFSOCK | 0o666)], "is neither a file nor"),
        ([Item("d/", b"content", FOLDER)], "is a directory with content"),
        ([Item("l/", b"d", LINK)], "is a symbolic link with a directory's name"),
        ([Item("a", flags=0x1)], "entry 'a' is encrypted"),
        ([Item("a", flags=0x41)], "entry 'a' is encrypted"),
        ([Item("a", flags=0x2000)], "entry 'a' is encrypted"),
        ([Item("a", method=14)], "uses compression method 14, not deflate"),
        ([Item("l", b"", LINK)], "whose target is empty or too long"),
        ([Item("l", b"a" * 1025, LINK)], "whose target is empty or too long"),
        ([Item("l", b"a\xff", LINK)], "whose target is not UTF-8"),
        ([Item("l", b"a\0b", LINK)], "with a NUL byte in its target"),
    ],
)
def test_an_entry_that_no_package_needs_is_refused_by_name(items: list[Item], why: str) -> None:
    message = refusal(hand_made(items))
    assert message.startswith("Could not use uploaded file: entry ")
    assert why in message
    assert "\n" not in message


@pytest.mark.parametrize("raw", ["x" * 60_000, "a\nb/../" + "\x1b[31m"])
def test_a_refusal_is_one_short_printable_line(raw: str) -> None:
    message = refusal(hand_made([Item(raw)]))
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(
    "links",
    [
        {"l": "/etc/passwd"},
        {"l": ".."},
        {"l": "../x"},
        {"a/b/l": "../../../x"},
        {"a/l": "../../task/a"},  # leaves, and would come back under /var/task only
        {"a/l": "b/../../../x"},
        {"up": "d/e", "d/e": "..", "l": "up/../x"},  # d/e is the root already
        {"d/one": "..", "l": "d/one/../x"},
        {"a/x": "y/..", "a/y": "../b", "l": "a/x/../../z"},
        {"l": "missing/../../x"},
    ],
)
def test_a_link_that_leads_out_is_refused(links: dict[str, str]) -> None:
    items = [Item(name, target.encode(), LINK) for name, target in links.items()]
    message = refusal(hand_made(items))
    assert "is a symbolic link" in message
    assert "absolute path" in message or "leads out of the package" in message


def test_links_inside_are_kept() -> None:
    data = hand_made(
        [
            Item("lib/real.so", b"elf"),
            Item("lib/now.so", b"real.so", LINK),
            Item("bin/lib", b"../lib", LINK),
            Item("bin/tool", b"lib/../lib/now.so", LINK),
            Item("dangling", b"nowhere/at/all", LINK),
            Item("root", b".", LINK),
        ]
    )
    entries = entries_of(data)
    assert {path: e.target for path, e in entries.items() if e.kind is Kind.SYMLINK} == {
        "lib/now.so": "real.so",
        "bin/lib": "../lib",
        "bin/tool": "lib/../lib/now.so",
        "dangling": "nowhere/at/all",
        "root": ".",
    }


def test_links_in_a_circle_are_refused() -> None:
    items = [Item("a", b"b", LINK), Item("b", b"a", LINK)]
    assert "through too many others" in refusal(hand_made(items))


def test_following_links_costs_a_bounded_number_of_steps() -> None:
    items = [Item(f"l{n}", b"a/" * 512, LINK) for n in range(1200)]
    assert "is one symbolic link too many" in refusal(hand_made(items))


# Anything at all


def judged(data: bytes) -> Archive | None:
    try:
        archive = inspect(data)
        check_contents(archive, data)
    except ApiError:
        return None
    return archive


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\5\6", b"PK\1\2", b"PK\6\7"]))
def test_random_bytes_raise_nothing_but_api_errors(noise: bytes, magic: bytes) -> None:
    judged(noise + magic + noise)


SAMPLES = [
    zip_of({"app.py": "def handler(e, c): return e\n" * 20, "lib/x.js": "1", "empty/": ""}),
    hand_made([Item("a", b"text", zip64=True), Item("l", b"a", LINK)], zip64=True),
    hand_made([Item("a/b", b"stored", method=0), Item("a/l", b"../a/b", LINK)], before=b"#!"),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_zips_raise_nothing_but_api_errors(draw: st.DataObject) -> None:
    data = bytearray(draw.draw(st.sampled_from(SAMPLES)))
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at] = draw.draw(st.sampled_from([0, 1, 0x2E, 0x2F, 0x7F, 0xFF]) | st.integers(0, 255))
    archive = judged(bytes(data))
    for entry in archive.entries if archive else ():
        assert not entry.path.startswith("/")
        assert not {"", ".", ".."} & set(entry.path.split("/"))
