"""The instances and their states.

A state is worked out when somebody asks, from the time at which a stop was ordered: there are no
timers, so a sandbox at rest costs nothing and a test sees no race between a timer and its question.
"""

import threading
import time
from dataclasses import dataclass

RUNNING, STOPPING, STOPPED = "RUNNING", "STOPPING", "STOPPED"
RECYCLED_STATES = ("RECYCLE", "RECYCLING")
STATES = ("PENDING", "DEPLOYING", "REBUILDING", "REBOOT", RUNNING, STOPPED, "BOOTING", "RELEASING",
          STOPPING, *RECYCLED_STATES, "CREATE_FAILED", "IMAGING")

ZONE = "HKG-A"  # where an instance is of which nothing else was said

_NEVER = float("inf")


@dataclass
class Instance:
    instance_id: str
    state: str = RUNNING
    stops_at: float = _NEVER  # when STOPPING turns into STOPPED
    stuck: bool = False       # once STOPPING, it stays so
    vanishes: bool = False    # once stopped, it is gone

    def state_at(self, now):
        """The state at that moment; None when the instance is gone."""
        if self.state == STOPPING and now >= self.stops_at:
            return None if self.vanishes else STOPPED
        return self.state


class Fleet:
    def __init__(self, states, accept_any=False, stop_seconds=1.0, graceful_seconds=None,
                 now=time.monotonic, zones=None):
        """`states` maps an instance id to its state at the start, `zones` to its zone."""
        self._instances = {each: Instance(each, state) for each, state in states.items()}
        self._zones = zones or {}
        self._accept_any = accept_any
        self._stop_seconds = stop_seconds
        self._graceful_seconds = stop_seconds if graceful_seconds is None else graceful_seconds
        self._now = now
        self._lock = threading.Lock()

    def states(self, instance_ids=None):
        """(id, state) pairs, in the order asked for, without those that do not exist.

        Without ids: all known instances.
        """
        with self._lock:
            now = self._now()
            instances = (self._instances.values() if instance_ids is None
                         else map(self._find, dict.fromkeys(instance_ids)))
            pairs = [(each.instance_id, each.state_at(now)) for each in instances
                     if each is not None]
        return [(instance_id, state) for instance_id, state in pairs if state is not None]

    def zone(self, instance_id):
        return self._zones.get(instance_id, ZONE)

    def stop(self, instance_ids, force, judge, act=True):
        """Order the stop of those ids that `judge` lets pass; returns them, in order.

        `judge(instance_id, state)` is asked about every id (state None: no such instance) before
        anything changes: it answers True or False, or raises to refuse the whole order. With `act`
        false all of this happens except the change. One lock holds throughout, so two orders never
        mix.
        """
        with self._lock:
            now = self._now()
            found = [(instance_id, self._find(instance_id))
                     for instance_id in dict.fromkeys(instance_ids)]
            passed = [instance for instance_id, instance in found
                      if judge(instance_id, instance and instance.state_at(now))]
            if act:
                seconds = self._stop_seconds if force else self._graceful_seconds
                for instance in passed:
                    instance.state = STOPPING
                    instance.stops_at = _NEVER if instance.stuck else now + seconds
                    self._instances[instance.instance_id] = instance
        return [instance.instance_id for instance in passed]

    def _find(self, instance_id):
        known = self._instances.get(instance_id)
        if known is None and self._accept_any:
            return _imagine(instance_id)
        return known


# What the beginning of a never-seen id says about the instance, when any id is accepted.
_IMAGINED = {state.lower().replace("_", "-") + "-": {"state": state} for state in STATES}
_IMAGINED["recycled-"] = {"state": "RECYCLE"}
_IMAGINED["stuck-"] = {"stuck": True}
_IMAGINED["vanishing-"] = {"vanishes": True}


def _imagine(instance_id):
    if instance_id.startswith("missing-"):
        return None
    for beginning, properties in _IMAGINED.items():
        if instance_id.startswith(beginning):
            return Instance(instance_id, **properties)
    return Instance(instance_id)
