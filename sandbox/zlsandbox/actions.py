"""What each action of each service does with the fleet.

An action is a function of a Call; it returns the response's fields, or raises a Refusal.
"""

import hashlib
from dataclasses import dataclass

from . import parameters
from .answers import Refusal
from .fleet import RECYCLED_STATES, RUNNING, STOPPING, Fleet


@dataclass
class Call:
    fleet: Fleet
    service: str
    body: bytes
    params: dict
    act: bool               # false: answer as if, but change nothing
    acted_ids: list = None  # out: the ids that a stop was really ordered for


def _stop_instances(call):
    call.acted_ids = []
    ids = parameters.instance_ids(call.params, required=True)
    if call.service == "bmc" and "forceShutdown" in call.params:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", "bmc has no parameter forceShutdown")
    force = parameters.force_shutdown(call.params)

    def judge(instance_id, state):
        if state is None:
            raise Refusal(404, "INVALID_INSTANCE_NOT_FOUND",
                          "there is no instance %s" % instance_id)
        if state in RECYCLED_STATES:
            raise Refusal(403, "OPERATION_DENIED_INSTANCE_RECYCLED",
                          "%s is in the recycle bin" % instance_id)
        if state == RUNNING:
            return True
        if call.service == "zec":
            # This service stops what it can and lists the rest; a stop under way may be forced.
            return state == STOPPING and force
        raise Refusal(403, "OPERATION_DENIED_INSTANCE_NOT_RUNNING",
                      "%s is %s" % (instance_id, state))

    passed = call.fleet.stop(ids, force, judge, call.act)
    if call.act:
        call.acted_ids = passed
    failed = [instance_id for instance_id in dict.fromkeys(ids) if instance_id not in set(passed)]
    return {"instanceIds": failed} if failed else {}


def _describe_instances_status(call):
    return _describe(call, lambda instance_id, state: {
        "instanceId": instance_id,
        "instanceStatus": state,
    })


def _describe_instances(call):
    # The services do not agree on this name.
    status = "status" if call.service == "zec" else "instanceStatus"
    return _describe(call, lambda instance_id, state: {
        "instanceId": instance_id,
        "instanceName": "name-of-" + instance_id,
        status: state,
        "zoneId": call.fleet.zone(instance_id),
    }, filters=("zoneId", status))


def _describe(call, describe_one, filters=()):
    """One page of what describe_one makes of each instance that has the values of the filters."""
    ids = parameters.instance_ids(call.params, required=False)
    wanted = parameters.texts(call.params, filters)
    chosen = parameters.page(call.params)
    rows = [describe_one(*pair) for pair in call.fleet.states(ids)]
    rows = [row for row in rows if all(row[name] == text for name, text in wanted.items())]
    return {"totalCount": len(rows), "dataSet": rows[chosen]}


def _echo(call):
    """The sandbox's own: tells what arrived, so that a test can compare it with what was meant."""
    return {
        "size": len(call.body),
        "sha256": hashlib.sha256(call.body).hexdigest(),
        "params": call.params,
    }


@dataclass(frozen=True)
class Service:
    versions: tuple
    actions: dict


_COMMON = {
    "StopInstances": _stop_instances,
    "DescribeInstances": _describe_instances,
    "Echo": _echo,
}
_WITH_STATUS = {**_COMMON, "DescribeInstancesStatus": _describe_instances_status}

SERVICES = {
    "vm": Service(("2026-04-01", "2023-03-13"), _WITH_STATUS),
    "bmc": Service(("2026-02-01",), _COMMON),
    "zec": Service(("2025-09-01",), _WITH_STATUS),
}
