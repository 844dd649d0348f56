"""Keeps secrets out of everything that is written down: logs, reports of errors, details.

The secrets that this application can meet are access tokens of the hub, in headers and
addresses, and signed addresses of its file servers, which open a file to whoever has them.
"""

from __future__ import annotations

import logging
import re
import traceback

_HIDDEN = "[hidden]"
_SECRETS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s'\"\\,;]+"), rf"\1\2{_HIDDEN}"),
    (
        re.compile(r"(?i)(authorization['\"]?\s*[:=,]\s*b?['\"]?)(?!bearer|basic)[^\s'\"]+"),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"(?i)\b(https?://)[^\s/@'\"]+@"), rf"\1{_HIDDEN}@"),
    (re.compile(r"(?i)(\bhttps?://[^\s?'\"<>]+\?)[^\s'\"<>)]+"), rf"\1{_HIDDEN}"),
)


def redact(text: str) -> str:
    """`text` without anything that opens a door."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def keep_logs_clean() -> None:
    """Redact every log record of this process from now on, whoever logs and wherever it goes."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def record(*arguments: object, **fields: object) -> logging.LogRecord:
        made = make(*arguments, **fields)
        made.msg, made.args = redact(made.getMessage()), None
        if made.exc_info and made.exc_info[0] is not None:
            # Formatters take this text instead of making their own.
            made.exc_text = redact("".join(traceback.format_exception(*made.exc_info))).rstrip()
        return made

    record.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
