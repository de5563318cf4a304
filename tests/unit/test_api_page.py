"""docs/api.md shows replies as they are."""

import json
import re

import pytest

from exporter.web.openapi import document
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")


def sections() -> dict[str, str]:
    """The page's sections by the path that stands in their headings."""
    text = (repo_root() / "docs" / "api.md").read_text()
    return dict(re.findall(r"^## `GET (\S+)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))


LIVE = tuple(path for path in document()["paths"] if path.startswith("/api/system/") and "historical" not in path)


@pytest.mark.parametrize("path", LIVE)
def test_an_example_is_a_reply_as_the_document_says_with_every_field_it_names(path: str) -> None:
    import jsonschema_rs

    told = document()
    schema = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    (example,) = re.findall(r"^```json\n(.*?)^```", sections()[path], re.DOTALL | re.MULTILINE)

    validator = jsonschema_rs.Draft202012Validator({**schema, "components": told["components"]})
    validator.validate(json.loads(example))


def test_the_page_names_every_address() -> None:
    text = (repo_root() / "docs" / "api.md").read_text()
    assert [path for path in document()["paths"] if f"| `GET {path}` |" not in text] == []
