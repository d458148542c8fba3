"""One request through the API: the gate, the rate limit, the action."""

from dataclasses import dataclass, field

from . import gate, parameters
from .actions import SERVICES, Call
from .answers import Answer, Refusal, done, refused
from .limiter import retry_after_headers


@dataclass
class Outcome:
    """What became of a request, as the journal tells it."""

    answer: Answer = None
    identity: gate.Identity = field(default_factory=gate.Identity)
    params: dict = None
    acted: bool = False      # the action was really carried out
    acted_ids: list = None   # for StopInstances


class Api:
    def __init__(self, fleet, credentials, limiter, retry_after=None):
        self._fleet = fleet
        self._credentials = credentials
        self._limiter = limiter
        self._retry_after = retry_after

    def handle(self, head, body, now, act=True):
        """The Outcome of a request at the time `now`; without `act` the fleet stays as it is."""
        outcome = Outcome()
        if head.method == "HEAD":
            # Clients warm a connection up with one: it needs no proof and does nothing.
            outcome.answer = Answer(200)
            return outcome
        try:
            outcome.answer = done(self._judge(head, body, now, act, outcome))
        except Refusal as refusal:
            outcome.answer = refused(refusal.status, refusal.code, str(refusal), refusal.headers)
        return outcome

    def _judge(self, head, body, now, act, outcome):
        try:
            outcome.params = parameters.decode(body)
            undecodable = None
        except ValueError as error:
            undecodable = error  # refused later: nobody unproven is told about the body
        service = SERVICES.get(head.service)
        if service is None:
            raise Refusal(404, "INVALID_PARAMETER_VALUE", "there is no such path; try /api/v2/vm")
        if head.method != "POST":
            raise Refusal(405, "INVALID_PARAMETER_VALUE", "only POST is allowed",
                          [("Allow", "POST, HEAD")])
        gate.verify(head, body, self._credentials, now, outcome.identity)
        if not self._limiter.admit():
            raise Refusal(429, "REQUEST_LIMIT_EXCEEDED", "too many requests",
                          retry_after_headers(self._retry_after, now))
        action = _action(head, service)
        if undecodable:
            raise Refusal(400, "INVALID_PARAMETER_TYPE",
                          "the body is not a JSON object: %s" % undecodable)
        call = Call(self._fleet, head.service, body, outcome.params, act)
        try:
            response = action(call)
        finally:
            outcome.acted_ids = call.acted_ids
        outcome.acted = act
        return response


def _action(head, service):
    """The function for the action that the headers name."""
    for header in ("X-ZC-Action", "X-ZC-Version"):
        if not head.get(header.lower()):
            raise Refusal(400, "MISSING_PARAMETER", "the header %s is required" % header)
    if head.get("x-zc-service") not in (None, head.service):
        raise Refusal(400, "INVALID_PARAMETER_VALUE", "X-ZC-Service is not the path's service")
    if (head.get("content-type") or "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(400, "INVALID_PARAMETER_VALUE", "Content-Type must be application/json")
    if head.get("x-zc-version") not in service.versions:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", "%s knows the versions %s"
                      % (head.service, ", ".join(service.versions)))
    if head.action not in service.actions:
        raise Refusal(404, "INVALID_PARAMETER_VALUE",
                      "%s has no action of that name" % head.service)
    return service.actions[head.action]
