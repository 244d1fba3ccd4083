"""docs/api-coverage.md says what is true: it is written anew and compared."""

from __future__ import annotations

from model_requests.building import durable_operations, operation_names

from scripts.api_coverage import NOT_YET, NOTES, PAGE, STORED_ONLY, coverage, page


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text() == page(), "run: .venv/bin/python scripts/api_coverage.py --write"


def test_every_operation_of_the_model_has_a_handler_but_durable_executions() -> None:
    found = {one.operation: one.state for one in coverage()}
    assert set(found) == set(operation_names())
    missing = {name for name, state in found.items() if state == NOT_YET}
    assert missing <= durable_operations()


def test_the_tables_name_operations_that_exist() -> None:
    assert set(NOTES) <= set(operation_names())
    for word in STORED_ONLY:
        assert any(word in name for name in operation_names()), word
