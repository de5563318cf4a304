"""Values as TOML has them."""


def quoted(text: str) -> str:
    """Return a text as a basic string, on one line; what is not printed is written by its number.

    JSON's strings are not it: DEL has to be escaped, and pairs of surrogates are not allowed.
    """
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04X}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08X}"
