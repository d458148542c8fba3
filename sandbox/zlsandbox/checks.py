"""What a value in a fault script may be: each check tells whether a value will do."""

import re


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_seconds(value):
    return is_number(value) and value >= 0


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_ordinals(value):
    """One place in a row, or several."""
    places = value if isinstance(value, list) else [value]
    return bool(places) and all(is_count(place) and place >= 1 for place in places)


def is_status(value):
    return is_count(value) and 200 <= value <= 999


def is_text(value):
    return isinstance(value, str)


def is_hex(value):
    return isinstance(value, str) and re.fullmatch(r"([0-9A-Fa-f]{2})*", value) is not None


def is_flag(value):
    return isinstance(value, bool)


def is_retry_after(value):
    """Seconds, "date:SECONDS", or any other text: a server may send nonsense."""
    if isinstance(value, str) and value.startswith("date:"):
        return re.fullmatch(r"date:-?[0-9]+(\.[0-9]+)?", value) is not None
    return is_number(value) or isinstance(value, str)


def is_headers(value):
    return (isinstance(value, dict)
            and all(each is None or isinstance(each, str) for each in value.values()))


def is_moment(value):
    return value in ("same", "later")


def is_anything(_):
    return True
