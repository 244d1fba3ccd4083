"""docs/runtimes.md and README.md say what the results of the conformance suite say."""

from __future__ import annotations

import pytest
from conformance.clients import CLIENTS

from lambda_home.runtimes import catalogue
from scripts import runtimes_page


def test_the_page_and_the_readme_are_those_of_the_results() -> None:
    results = runtimes_page.read()
    again = "run: .venv/bin/python scripts/runtimes_page.py --write"
    assert runtimes_page.PAGE.read_text() == runtimes_page.page(results), again
    text = runtimes_page.README.read_text()
    assert text == runtimes_page.readme(text, results), again


def test_the_results_are_of_all_clients_and_of_runtimes_that_exist() -> None:
    results = runtimes_page.read()
    assert set(results["clients"]) == {client.name for client in CLIENTS}
    assert set(results["runtimes"]) <= set(catalogue())
    for client in CLIENTS:
        for sandbox, told in results["clients"][client.name].items():
            assert sandbox in runtimes_page.SANDBOXES
            assert set(told) == set(runtimes_page.COLUMNS), client.name
            assert (told["streaming"] == "-") == (not client.pieces), client.name
            assert (told["spare"] == "-") == (not client.spare), client.name


def test_a_cell_of_the_readme_says_where_it_works() -> None:
    differs = {"python": {"process": {"event": "yes"}, "docker": {"event": "no"}}}
    line = list(runtimes_page.short_table(differs))[2]
    assert line.startswith("| Python | process: yes, docker: no |")
    same = {"python": {kind: {"event": "yes"} for kind in ("process", "docker")}}
    assert list(runtimes_page.short_table(same))[2].startswith("| Python | yes |")


def test_a_readme_without_marks_is_told_so() -> None:
    with pytest.raises(ValueError, match="begin"):
        runtimes_page.readme("# nothing\n", {"clients": {}})
