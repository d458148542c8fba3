"""Decodes the JSON of a request and checks its parameters, with the API's codes."""

import json
import math

from .answers import Refusal

MAX_INSTANCE_IDS = 100
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 1000


def decode(body):
    """The JSON object in `body`; raises ValueError saying what it is instead."""
    try:
        value = json.loads(body.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is JSON, but not an object")
    return value


def _finite(text):
    # JSON has no NaN and no infinities; Python would read both, and write them back.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("%s is not a number of JSON" % text)
    return number


def instance_ids(params, required):
    """The parameter instanceIds: 1 to 100 strings, or None where it is optional and absent."""
    value = params.get("instanceIds")
    if value is None:
        if required:
            raise _bad("MISSING_PARAMETER", "instanceIds is required")
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _bad("INVALID_PARAMETER_TYPE", "instanceIds must be an array of strings")
    if len(value) > MAX_INSTANCE_IDS:
        raise _bad("INVALID_PARAMETER_EXCEED_LENGTH",
                   "instanceIds has more than %d items" % MAX_INSTANCE_IDS)
    if not value or not all(value):
        raise _bad("INVALID_PARAMETER_LESS_LENGTH", "instanceIds, or an id in it, is empty")
    return value


def force_shutdown(params):
    """The parameter forceShutdown; left out, it is true: a hard power-off."""
    value = params.get("forceShutdown", True)
    if not isinstance(value, bool):
        raise _bad("INVALID_PARAMETER_TYPE", "forceShutdown must be a boolean")
    return value


def texts(params, names):
    """Those of these parameters that are there: each a string."""
    found = {name: params[name] for name in names if params.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, str):
            raise _bad("INVALID_PARAMETER_TYPE", "%s must be a string" % name)
    return found


def page(params):
    """The parameters pageNum and pageSize as a slice of the whole list."""
    size = _whole(params, "pageSize", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    number = _whole(params, "pageNum", 1, None)
    return slice((number - 1) * size, number * size)


def _whole(params, name, default, maximum):
    value = params.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad("INVALID_PARAMETER_TYPE", "%s must be an integer" % name)
    if value < 1:
        raise _bad("INVALID_PARAMETER_LESS_MINIMUM", "%s must be at least 1" % name)
    if maximum is not None and value > maximum:
        raise _bad("INVALID_PARAMETER_EXCEED_MAXIMUM", "%s must be at most %d" % (name, maximum))
    return value


def _bad(code, message):
    return Refusal(400, code, message)
