"""BigQuery's REST calls: each bounded in time, asked again while it may pass, given up where nobody answers.

Belongs here: time-outs and tries of metadata and query calls. Does not: any call's words, rows of tables.

Google's own policy asks for ten minutes, and of a name with 16 addresses each one for a minute: a dead network
took ``bqx plan`` 584 seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import requests
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from requests.adapters import HTTPAdapter

from bqx_assets.extract.bigquery.failures import may_pass, translated, why
from bqx_assets.extract.bigquery.patience import Patience
from bqx_assets.extract.outage import Outage

CALL_SECONDS = 10.0
"""How long BigQuery may take over a query before it answers that it is not done yet."""
_CONNECT_SECONDS, _ANSWER_SECONDS = 6.0, 12.0
"""Well below ``Patience.silent_seconds``: a request that hangs is asked again."""
NO_TRIES: Any = None
"""For ``retry`` of Google's client, whose annotation leaves out that None is none."""
_POLL_SECONDS = 0.1
_SERVER_FAULT, _TOO_MANY = 500, 429
_Answer = TypeVar("_Answer")


class Rest:
    """The calls of one client. For several threads."""

    def __init__(self, client: bigquery.Client, outage: Outage, patience: Patience) -> None:
        self.client = client
        self._outage, self._patience = outage, patience
        self._heard = _Heard()
        # Google's documentation mounts adapters on this session, too; it has no public name.
        session = cast("requests.Session", cast("Any", client)._http)  # noqa: SLF001
        for scheme in ("https://", "http://"):
            session.mount(scheme, self._heard)

    def ask(self, call: Callable[[], _Answer], subject: str, **known: str) -> _Answer:
        """Return what the call returns; its Google clients' own tries must be off, for they are counted here.

        ``known``: the table, dataset or project asked for, which a refusal may not name.

        **Cost**: at most ``Patience.silent_seconds`` where nobody answers.

        Raises:
            WarehouseUnavailable: nobody answered, or the project refuses every call.
            TransientReadError: it was refused for now, each of ``Patience.tries`` times.
            TableMissing, TableUnreadable: it was refused for good.
            ReadsEnded: the run ends.
        """
        began, failures = time.monotonic(), 0
        before: Exception | None = None
        while True:
            tried = time.monotonic()
            try:
                answer = self._bounded(call, max(began, self._heard.at) + self._patience.silent_seconds)
            except (GoogleAPIError, GoogleAuthError, OSError) as failed:
                # The last try may be cut off by the end of the patience: what was answered before says more.
                error = before if before is not None and isinstance(failed, TimeoutError) else failed
                before, failures = error, failures + 1
                silent = time.monotonic() - max(began, self._heard.at)
                lasts = silent >= self._patience.silent_seconds
                self._outage.failed(why(error), began=tried, failures=0)
                heard = self._heard.at > tried
                if not may_pass(error) or lasts or (heard and failures >= self._patience.tries):
                    raise translated(error, subject, lasts=lasts, **known) from failed
                left = self._patience.silent_seconds - silent
                self._outage.wait(min(self._patience.wait_seconds(failures, error), max(left, 0.0)))
            else:
                self._outage.answered()  # else a fault here, long passed, would count as the beginning of a later one
                return answer

    def _bounded(self, call: Callable[[], _Answer], until: float) -> _Answer:
        """The call's outcome; on a thread of its own, which is left behind where names or proxies hang."""
        done: list[_Answer] = []
        failed: list[BaseException] = []
        over = threading.Event()

        def work() -> None:
            try:
                done.append(call())
            except BaseException as error:  # noqa: BLE001 (not swallowed: raised again where the answer is wanted)
                failed.append(error)
            over.set()

        threading.Thread(target=work, name="rest", daemon=True).start()
        began = time.monotonic()
        while not over.wait(_POLL_SECONDS):
            self._outage.go_on()
            if time.monotonic() > max(until, self._heard.at + self._patience.silent_seconds):
                msg = f"no answer within {time.monotonic() - began:.0f} s"
                raise TimeoutError(msg)
        if failed:
            raise failed[0]
        return done[0]


class _Heard(HTTPAdapter):
    """Bounds every request, and knows when a server last answered otherwise than by a failure of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def send(self, request: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (requests has no types)
        options["timeout"] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
        response = super().send(request, *args, **options)
        if response.status_code < _SERVER_FAULT and response.status_code != _TOO_MANY:
            self.at = time.monotonic()
        return response
