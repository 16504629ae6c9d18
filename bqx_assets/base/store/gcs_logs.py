"""What Google's client may write into a log: no upload id, for whoever has it may write.

Belongs here: the filter. Does not: errors (``gcs_failures``).
"""

from __future__ import annotations

import logging
import re

_LOGGERS = ("urllib3.connectionpool", "google.api_core.retry")
"""They log each request's URL at level DEBUG, which Dagster can be told to keep."""
_UPLOAD_ID = re.compile(r"(upload_id=)[^&\s\"']+")


class _Hidden(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _UPLOAD_ID.sub(r"\1...", record.getMessage()), ()
        return True


_HIDDEN = _Hidden()


def hide_upload_ids() -> None:
    """Replace the ids of resumable uploads in what the client logs. Doing it twice does it once."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HIDDEN)
