"""The cache between builds: one owner at a time, bounded."""

from __future__ import annotations

import os
from pathlib import Path

from lambda_home.builds.cache import BuildCache, CacheKey, size_of

MB = 1 << 20


def key(group: str = "g", content: str = "1") -> CacheKey:
    return CacheKey.of([group], [content])


def filled(place: Path, size: int = 4096) -> None:
    (place / "file").write_bytes(os.urandom(size))


def test_what_is_given_back_is_found_again(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path / "cache", MB)
    place = tmp_path / "place"
    assert cache.take(key(), place) == "empty"
    filled(place)
    cache.give_back(key(), place)
    assert not place.exists()
    assert cache.take(key(), place) == "exact"
    assert (place / "file").exists()
    assert cache.take(key(), tmp_path / "meanwhile") == "empty"


def test_without_the_same_locks_the_newest_of_the_group_serves(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path / "cache", MB)
    for content in ("1", "2"):
        place = tmp_path / content
        place.mkdir()
        filled(place)
        cache.give_back(key("g", content), place)
    assert cache.take(key("other"), tmp_path / "a") == "empty"
    assert cache.take(key("g", "3"), tmp_path / "b") == "older"


def test_nothing_is_kept_of_what_is_empty_or_too_large(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path / "cache", MB)
    for size in (0, 2 * MB):
        place = tmp_path / "place"
        place.mkdir()
        if size:
            filled(place, size)
        cache.give_back(key(), place)
        assert not place.exists()
        assert list((tmp_path / "cache").iterdir()) == []


def test_the_oldest_goes_first(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path / "cache", MB)
    for number in range(3):
        place = tmp_path / "place"
        place.mkdir()
        filled(place, 400_000)
        cache.give_back(key(str(number)), place)
        for age, folder in enumerate(sorted((tmp_path / "cache").iterdir(), key=str)):
            del age
            os.utime(folder, (number, number)) if number < 2 else None
    assert size_of(tmp_path / "cache") <= MB
    assert cache.take(key("2"), tmp_path / "last") == "exact"
