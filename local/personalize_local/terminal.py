"""Text from outside as a terminal may show it: names of objects and reasons can hold anything."""


def shown(text: str, *, keep: str = "") -> str:
    r"""Writes what is not printable as an escape, for example ``\x1b``, so that it only shows.

    A terminal would obey it: clear itself, change its title, turn the direction of the text.

    Args:
        text: The text.
        keep: Characters that stay as they are, for example the end of a line.
    """
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )
