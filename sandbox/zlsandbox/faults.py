"""The fault script: which request meets which fault.

A script is a JSON list of rules. All rules count the requests that fit their action, service and
method; the first one that still applies decides what happens to the request.
"""

import json
import os
import random
import threading

from .checks import is_count, is_flag, is_headers, is_number, is_ordinals, is_text
from .kinds import ALWAYS, BY_DEFAULT, KINDS, NEVER


class ScriptError(ValueError):
    """The script says something that cannot be meant."""


class Rule:
    _SELECTORS = ("fault", "action", "service", "method", "requests", "times", "probability",
                  "seed", "headers", "act")

    def __init__(self, written):
        """From a rule as written in JSON; raises a ScriptError that names what is wrong with it."""
        if not isinstance(written, dict):
            raise ScriptError("a rule must be an object, not %r" % (written,))
        self.kind = written.get("fault")
        if not is_text(self.kind) or self.kind not in KINDS:
            raise ScriptError("there is no fault %r; there are: %s" % (self.kind, ", ".join(KINDS)))
        self.action = self._taken(written, "action", is_text)
        self.service = self._taken(written, "service", is_text)
        # A HEAD only warms a connection up: it would use a rule up unseen.
        self.method = self._taken(written, "method", is_text, "POST")
        self.headers = self._taken(written, "headers", is_headers, {})
        ordinals = self._taken(written, "requests", is_ordinals)
        self._ordinals = [ordinals] if isinstance(ordinals, int) else ordinals
        self._times = self._taken(written, "times", is_count)
        self._probability = self._taken(written, "probability", is_number)
        self._random = random.Random(self._taken(written, "seed", is_number, 0))
        self.act = self._decide_act(written)
        self.parameters = self._checked_parameters(written)
        self._seen = 0
        self._used = 0

    def fits(self, head):
        return (head.method == self.method
                and (self.action is None or head.action == self.action)
                and (self.service is None or head.service == self.service))

    def count(self):
        """Counts a request that fits; tells whether the rule would apply to it."""
        self._seen += 1
        # The die is thrown for every request, so that the same seed always means the same requests.
        lucky = self._probability is None or self._random.random() < self._probability
        return (lucky
                and (self._ordinals is None or self._seen in self._ordinals)
                and (self._times is None or self._used < self._times))

    def use(self):
        self._used += 1

    def _taken(self, written, name, check, default=None):
        if name not in written:
            return default
        if not check(written[name]):
            raise ScriptError("%s: %s cannot be %r" % (self.kind, name, written[name]))
        return written[name]

    def _decide_act(self, written):
        acts = KINDS[self.kind].acts
        if acts in (NEVER, ALWAYS):
            if "act" in written:
                raise ScriptError("%s: act cannot be chosen here" % self.kind)
            return acts == ALWAYS
        return self._taken(written, "act", is_flag, acts == BY_DEFAULT)

    def _checked_parameters(self, written):
        kind = KINDS[self.kind]
        checks = {**kind.required, **kind.optional}
        parameters = {name: value for name, value in written.items() if name not in self._SELECTORS}
        for name, value in parameters.items():
            if name not in checks:
                raise ScriptError("%s: there is no parameter %s" % (self.kind, name))
            if not checks[name](value):
                raise ScriptError("%s: %s cannot be %r" % (self.kind, name, value))
        for name in kind.required:
            if name not in parameters:
                raise ScriptError("%s: the parameter %s is required" % (self.kind, name))
        return parameters


def parse_script(text):
    """The rules of a script; raises a ScriptError."""
    try:
        script = json.loads(text)
    except ValueError as error:
        raise ScriptError("the fault script is not JSON: %s" % error) from None
    if not isinstance(script, list):
        raise ScriptError("the fault script must be a list of rules")
    return [Rule(written) for written in script]


def parse_spec(spec):
    """A rule from the command line: `kind:name=value,...` (a value is JSON, or text), or JSON."""
    if spec.lstrip().startswith("{"):
        try:
            return Rule(json.loads(spec))
        except json.JSONDecodeError as error:
            raise ScriptError("the rule is not JSON: %s" % error) from None
    kind, _, rest = spec.partition(":")
    written = {"fault": kind}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ScriptError("%s: %r is not name=value" % (kind, part))
        try:
            written[name] = json.loads(value)
        except ValueError:
            written[name] = value
    return Rule(written)


class Faults:
    """The rules in force: those of the command line, then those of a file that may change."""

    def __init__(self, fixed=(), path=None):
        self._fixed = list(fixed)
        self._path = path
        self._from_file = []
        self._version = None
        self._lock = threading.Lock()
        self._reload()

    def pick(self, head):
        """The Rule for this request, or None. Show each request exactly once: rules count them.

        Raises a ScriptError when the file has turned into nonsense.
        """
        with self._lock:
            self._reload()
            chosen = None
            for rule in (*self._fixed, *self._from_file):
                if rule.fits(head) and rule.count() and chosen is None:
                    chosen = rule
            if chosen is not None:
                chosen.use()
            return chosen

    def _reload(self):
        if self._path is None:
            return
        try:
            if _version(os.stat(self._path)) == self._version:
                return
            with open(self._path, encoding="utf-8") as file:
                version = _version(os.fstat(file.fileno()))  # of this file, whatever has come since
                self._from_file = parse_script(file.read())
        except FileNotFoundError:
            self._from_file, version = [], None
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError("the fault script cannot be read: %s" % error) from None
        self._version = version


def _version(found):
    # An atomic rename changes the inode even where times are coarse.
    return found.st_mtime_ns, found.st_size, found.st_ino
