"""The rate limit: a token bucket, and the Retry-After header of those it turns away."""

import threading
import time
from email.utils import formatdate


class Limiter:
    """`rate` requests a second, `burst` at once. A rate of None lets everything pass."""

    def __init__(self, rate=None, burst=None):
        self._rate = rate
        self._burst = max(1.0, burst if burst is not None else rate or 1.0)
        self._tokens = self._burst
        self._filled_at = time.monotonic()
        self._lock = threading.Lock()

    def admit(self):
        """Whether a request may pass now; if so, it is counted."""
        if self._rate is None:
            return True
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


def retry_after_headers(form, now):
    """The header for None, seconds (2, "2"), or "date:2": a date so many seconds after `now`."""
    if form is None:
        return []
    text = str(form)
    if text.startswith("date:"):
        return [("Retry-After", http_date(now + float(text[5:])))]
    return [("Retry-After", text)]


def http_date(when):
    return formatdate(when, usegmt=True)
