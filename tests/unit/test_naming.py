"""Labels of queues that belong to several applications."""

import pytest

from depthgauge.names import clean
from exporter.queues.naming import FoundQueue, handle_of, labels, labels_of, parts_of


def test_a_handle_is_prefix_and_name() -> None:
    assert parts_of(handle_of(b"shop:rq", b"mail\0box")) == (b"shop:rq", b"mail\0box")
    assert parts_of(handle_of(b"", b"mail")) == (b"", b"mail")


def test_a_name_that_one_application_has_is_its_label() -> None:
    assert labels([(b"rq", b"mail"), (b"shop", b"invoices")]) == {
        (b"rq", b"mail"): "mail",
        (b"shop", b"invoices"): "invoices",
    }


def test_a_name_that_two_have_is_told_apart_by_prefix() -> None:
    assert labels([(b"rq", b"mail"), (b"shop", b"mail"), (b"shop", b"mail")]) == {
        (b"rq", b"mail"): "rq:mail",
        (b"shop", b"mail"): "shop:mail",
    }
    assert labels([(b"a_", b"q"), (b"b_", b"q")], between=b"") == {(b"a_", b"q"): "a_q", (b"b_", b"q"): "b_q"}


def test_numbers_of_a_whole_application_have_no_name_until_there_are_two() -> None:
    assert labels([(b"", b"")]) == {(b"", b""): ""}
    assert labels([(b"a", b""), (b"b", b"")]) == {(b"a", b""): "a", (b"b", b""): "b"}


def test_which_label_a_queue_that_was_found_has() -> None:
    found = FoundQueue("rq", "mail", b"mail", {"rq": b"shop"}, "named in shop:queues")
    assert {"mail", "shop:mail"} <= set(labels_of(found))
    assert not {"rq:mail", "mailer", "shop"} & set(labels_of(found))
    assert labels_of(FoundQueue("stream", "a", b"a", {}, "")) == ("a",)
    assert "shop_mail" in labels_of(FoundQueue("laravel", "mail", b"{mail}", {"laravel": b"shop_"}, ""))


@pytest.mark.parametrize("name", [b"a\x01b", b"\xff", b"n" * 300])
def test_labels_that_had_to_be_cleaned_are_told(name: bytes) -> None:
    shown = labels([(b"a", name), (b"b", name)])
    found = FoundQueue("rq", clean(name), name, {"rq": b"b"}, "")
    assert shown[b"b", name] in labels_of(found)
    assert shown[b"a", name] not in labels_of(found)
