"""Names that users chose."""

from hypothesis import given
from hypothesis import strategies as st

from depthgauge.names import MAX_LENGTH, clean
from depthgauge.secrets import MASK, Secret, masked


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)))
def test_a_clean_name_is_safe_everywhere(raw: bytes | str) -> None:
    name = clean(raw)

    name.encode()
    assert len(name) <= MAX_LENGTH + 9
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name)
    assert clean(name) == name or len(name) > MAX_LENGTH


@given(st.lists(st.binary(max_size=30), unique=True, max_size=20))
def test_two_names_stay_two(raw: list[bytes]) -> None:
    assert len({clean(each) for each in raw}) == len(raw)


def test_good_names_stay_as_they_are() -> None:
    for name in ("default", "näme", "队列", "a:b{c}", "", "~", "with space"):
        assert clean(name) == name
        assert clean(name.encode()) == name


def test_secrets_show_stars() -> None:
    assert MASK in repr(Secret("hunter2"))
    assert "hunter2" not in f"{Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    for url in (
        "redis://u:hunter2@h:1/0",
        "redis://:hunter2@h",
        "postgresql://u:hunter2@h/d?sslmode=x",
        "postgresql://h/d?password=hunter2&x=1",
        "host=h password=hunter2 user=u",
        "host=h password='hunter2 2' user=u",
        "rediss://u:hun%40ter2@h",
    ):
        assert "hunter2" not in masked(url)
        assert "ter2" not in masked(url)
