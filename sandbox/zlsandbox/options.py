"""The command line."""

import argparse
import re
import textwrap

from .faults import ScriptError, parse_spec
from .fleet import RUNNING, ZONE
from .kinds import ALWAYS, BY_DEFAULT, KINDS, NEVER, ON_REQUEST

_DESCRIPTION = """\
A local Zenlayer Cloud API, for tests: HTTPS with a throw-away certificate, real signature checks,
instances that stop, and faults on demand. It listens on this machine alone and forgets everything
when it ends.
"""

_EXAMPLE = """\
example:
  zenlayer-sandbox --instances 3 --stop-seconds 2 --fault rate_limit:times=2,retry_after=1
      prints where it listens; the first two requests are refused with 429

any id (--accept-any):
  an id never seen is a RUNNING instance, unless it begins with missing- (there is none), recycled-
  (in the recycle bin), another state in lower case (stopped-, stopping-, create-failed-, ...),
  stuck- (stays STOPPING for ever once it is stopped) or vanishing- (is gone once it is stopped)
"""

_FAULTS = """\
fault script (--faults FILE): a JSON list of rules, read again whenever the file changes (replace it
by a rename); a new file starts all counters anew. A rule:
  {"fault": "reset_after", "action": "StopInstances", "times": 1}
  "fault"        one of the kinds below
  "action", "service"
                 only requests with this action, this service (vm, bmc, zec)
  "method"       only requests with this method; default "POST"
  "requests"     only these: [1, 3], counted from 1 among those that fit action, service and method
  "times"        at most so often
  "probability"  only so likely (0 to 1), by dice that depend on "seed" alone
  "headers"      {name: value} for the answer, instead of its own of that name; null takes one away
  "act"          true: the request is carried out although its answer is bad; false: nothing is
                 changed, however good the answer looks. Each kind says whether it may be given.
The first rule that applies is played; rules of --fault come before those of the file.
--fault takes a rule as kind:name=value,... (a value is JSON or plain text) or as the JSON object.

kinds of fault, parameters (? optional), [is the request carried out?]:
"""

_ACT_WORDS = {NEVER: "[no]", ALWAYS: "[yes]", BY_DEFAULT: "[act, default true]",
              ON_REQUEST: "[act, default false]"}


def parse(arguments=None):
    """The options, checked; ends the program with a usage message when they make no sense."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.states = {"ins-%04d" % number: RUNNING for number in range(1, options.instances + 1)}
    options.states.update((instance_id, state) for instance_id, state, _ in options.instance)
    options.zones = {instance_id: zone for instance_id, _, zone in options.instance if zone}
    if options.burst is not None and options.rate is None:
        parser.error("--burst needs --rate")
    return options


def _parser():
    parser = argparse.ArgumentParser(
        prog="zenlayer-sandbox", description=_DESCRIPTION,
        epilog=_EXAMPLE + "\n" + _FAULTS + _kinds_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    listening = parser.add_argument_group("where it listens")
    listening.add_argument("--http", action="store_true", help="plain HTTP, no TLS")
    listening.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    listening.add_argument("--port", type=_whole, default=0, help="0, the default: a free one")
    listening.add_argument("--certificate-name", action="append", default=[], metavar="DNS",
                           type=_dns_name,
                           help="one more name for the certificate (repeatable), beside localhost, "
                           "127.0.0.1 and ::1")
    listening.add_argument("--dir", metavar="DIR",
                           help="where the certificates go; default: a temporary directory "
                           "that is removed at the end")
    listening.add_argument("--ready-file", metavar="FILE",
                           help="write {endpoint, ca_file, port, pid, journal} there, "
                           "atomically, once it listens; without it they are printed")
    listening.add_argument("--die-with-parent", action="store_true",
                           help="end when the parent process does")

    world = parser.add_argument_group("what it knows")
    world.add_argument("--access-key-id", default="SANDBOXKEY", metavar="ID", help="(%(default)s)")
    world.add_argument("--access-key-password", default="sandbox-password", metavar="PASSWORD",
                       help="(%(default)s)")
    world.add_argument("--token", default="sandbox-token", help="(%(default)s)")
    world.add_argument("--instances", type=_whole, default=10, metavar="N",
                       help="this many RUNNING instances, ins-0001 and so on (%(default)s)")
    world.add_argument("--instance", type=_instance, action="append", default=[],
                       metavar="ID=STATUS[,ZONE]",
                       help="one more instance (repeatable), in zone %s if none is given" % ZONE)
    world.add_argument("--accept-any", action="store_true",
                       help="every id is an instance; see below")
    world.add_argument("--stop-seconds", type=_seconds, default=1.0, metavar="S",
                       help="from STOPPING to STOPPED (%(default)s)")
    world.add_argument("--graceful-seconds", type=_seconds, metavar="S",
                       help="the same for forceShutdown=false; default: as --stop-seconds")

    misbehaviour = parser.add_argument_group("how it misbehaves")
    misbehaviour.add_argument("--faults", metavar="FILE", help="a fault script; see below")
    misbehaviour.add_argument("--fault", type=_fault, action="append", default=[], metavar="RULE",
                              help="one rule of a fault script (repeatable)")
    misbehaviour.add_argument("--rate", type=_positive, metavar="N",
                              help="at most N requests a second, the rest get "
                              "429 REQUEST_LIMIT_EXCEEDED")
    misbehaviour.add_argument("--burst", type=_positive, metavar="N",
                              help="of which so many at once; default: N")
    misbehaviour.add_argument("--retry-after", type=_retry_after, metavar="S|date:S",
                              help="the Retry-After of those 429: seconds, or a date so many "
                              "seconds ahead")
    misbehaviour.add_argument("--clock-offset", type=float, default=0.0, metavar="S",
                              help="its clock is wrong by so many seconds")

    parser.add_argument("--journal", metavar="FILE",
                        help="one line of JSON for every request, written before its answer, and "
                        "for every connection's begin and end; the last line may be unfinished")
    return parser


def _kinds_help():
    lines = []
    for kind in KINDS.values():
        parameters = [*kind.required, *(name + "?" for name in kind.optional)]
        listed = "{%s} " % ", ".join(parameters) if parameters else ""
        lines.append("  %s %s%s" % (kind.name, listed, _ACT_WORDS[kind.acts]))
        lines += textwrap.wrap(kind.help, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _instance(text):
    match = re.fullmatch(r"([^=]+)=([A-Z_]+)(?:,([A-Z0-9-]+))?", text)
    if not match:
        raise argparse.ArgumentTypeError("%r is not ID=STATUS[,ZONE]" % text)
    return match.groups()


def _fault(text):
    try:
        return parse_spec(text)
    except ScriptError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _dns_name(text):
    if not re.fullmatch(r"[A-Za-z0-9*._-]+", text):
        raise argparse.ArgumentTypeError("%r is not a DNS name" % text)
    return text


def _retry_after(text):
    if not re.fullmatch(r"(date:)?-?[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError("%r is neither seconds nor date:seconds" % text)
    return text


def _whole(text):
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("%r is not a whole number" % text)
    return int(text)


def _seconds(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not a number of seconds" % text)
    return value


def _positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not a positive number" % text)
    return value
