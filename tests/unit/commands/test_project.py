from __future__ import annotations

from pathlib import Path

import pytest

from lambda_home.commands.deploying import differing
from lambda_home.commands.failures import WrongUse
from lambda_home.commands.project import Project, name_of, read_project, variables_of


def test_a_folder_says_what_flags_would_and_flags_come_first(tmp_path: Path) -> None:
    (tmp_path / "lambda-home.toml").write_text(
        'name = "n"\nmemory = 256\nurl = true\nlayers = ["a"]\n[environment]\nA1 = "1"\nB1 = "2"\n'
    )
    told = read_project(tmp_path)
    assert told == Project(
        name="n", memory=256, url=True, layers=["a"], environment={"A1": "1", "B1": "2"}
    )
    with_flags = told.with_flags(Project(memory=512, url=False, environment={"B1": "3"}))
    assert (with_flags.memory, with_flags.url, with_flags.name) == (512, False, "n")
    assert with_flags.environment == {"A1": "1", "B1": "3"}


def test_a_folder_need_not_say_anything(tmp_path: Path) -> None:
    assert read_project(tmp_path) == Project()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 1", "unknown key nam: it may have name, runtime"),
        ("name = 1", "name in .* must be a string"),
        ('memory = "1"', "memory in .* must be a number"),
        ("timeout = true", "timeout in .* must be a number"),
        ("url = 1", "url in .* must be true or false"),
        ('layers = "a"', "layers in .* must be a list"),
        ("layers = [1]", "layers in .* must be a list"),
        ("[environment]\nA = 1", "environment in .* must be a table of strings"),
        ("name", "cannot be read as TOML"),
    ],
)
def test_mistakes_of_the_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "lambda-home.toml").write_text(text)
    with pytest.raises(WrongUse, match=message):
        read_project(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("hello", "hello"), ("my fn.v2", "my-fn-v2"), ("x" * 80, "x" * 64), ("fn.d", "fn-d")],
)
def test_a_function_is_called_as_its_folder(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).mkdir()
    assert name_of(tmp_path / name) == expected


def test_a_function_is_called_as_its_file() -> None:
    assert name_of(Path("some/hello.py")) == "hello"
    with pytest.raises(WrongUse, match="--name"):
        name_of(Path("...."))


def test_variables_are_names_and_values() -> None:
    assert variables_of([]) is None
    assert variables_of(["AB=1=2", "C_d="]) == {"AB": "1=2", "C_d": ""}
    for bad in ("AB", "=1", "1A=2", "A-B=1", "Ä=1"):
        with pytest.raises(WrongUse, match="is not NAME=VALUE") as caught:
            variables_of([f"{bad}"])
        assert "=2" not in str(caught.value)


@pytest.mark.parametrize(
    ("current", "wanted", "changed"),
    [
        ({"Timeout": 3}, {"Timeout": 3}, set()),
        ({"Timeout": 3}, {"Timeout": 4}, {"Timeout"}),
        ({"Timeout": 3}, {}, set()),
        ({}, {"Description": ""}, set()),
        ({}, {"Environment": {"Variables": {}}}, set()),
        ({}, {"Environment": {"Variables": {"A1": "b"}}}, {"Environment"}),
        (
            {"Environment": {"Variables": {"A1": "b"}}},
            {"Environment": {"Variables": {}}},
            {"Environment"},
        ),
        ({"Layers": [{"Arn": "a", "CodeSize": 1}]}, {"Layers": ["a"]}, set()),
        ({"Layers": [{"Arn": "a"}, {"Arn": "b"}]}, {"Layers": ["b", "a"]}, {"Layers"}),
    ],
)
def test_only_what_differs_is_changed(
    current: dict[str, object], wanted: dict[str, object], changed: set[str]
) -> None:
    assert differing(current, wanted).keys() == changed
