"""Logging: structlog and the standard library through one pipeline to stderr, one line an event.

Called once by each entry point, before anything is logged. A line is JSON for machines and `console` for people; either way it
carries a UTC time, the level, the logger and what is bound in the context (`run_id`, `source`, `request_id`), and has passed
through `redaction`.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from kasparro.core.redaction import printable, redact, redact_text

LONGEST_VALUE: Final = 4_000
"""Characters of one value that are logged. A traceback may have four times as many."""

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("kasparro_request_id", default=None)
"""The request that is being answered: set by the API."""

FIRST_KEYS: Final = ("time", "level", "event")

NOISY: Final = (
    "aiohttp",
    "alembic",
    "asyncio",
    "httpx",
    "procrastinate",
    "psycopg",
    "py.warnings",
    "sqlalchemy",
    "uvicorn",
)
"""Loggers of libraries: WARNING and above, unless LOG_LEVEL is DEBUG."""


def configure_logging(level: str = "INFO", log_format: str = "auto") -> None:
    """Send everything from *level* up to stderr; *log_format* is `json`, `console`, or `auto`: by whether it is a terminal."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler = StderrHandler()
    handler.setFormatter(_formatter(as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _tame_libraries(level)
    processors = [
        structlog.stdlib.filter_by_level,
        *_shared(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    _configured.update(processors=list(processors), handlers=[handler], as_json=as_json)
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # the format may be configured again: by tests, by an embedding program
    )
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_failure
    sys.unraisablehook = _log_unraisable


_configured: Final[dict[str, Any]] = {"processors": None, "handlers": None, "as_json": False}


def writes_json_alone() -> bool:
    """Whether events go to stderr as JSON and nowhere else: nobody has configured anything since, or listens as well."""
    return bool(
        _configured["as_json"]
        and logging.getLogger().handlers == _configured["handlers"]
        and structlog.get_config()["processors"] == _configured["processors"]
    )


class StderrHandler(logging.Handler):
    """Writes each line at once to what stderr is at that moment: a progress display replaces it while it is live."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # stderr is gone, and there is nowhere to say so
        except Exception:  # noqa: BLE001  # the boundary of the logging system: an unloggable event ends nothing
            self.handleError(record)


def _tame_libraries(level: str) -> None:
    debugging = level == "DEBUG"
    for name in NOISY:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET if debugging else max(logging.WARNING, logging.getLevelName(level)))
    for name in ("uvicorn.error", "uvicorn.access", "aiohttp.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # At DEBUG SQLAlchemy logs every row it reads.
    logging.getLogger("sqlalchemy").setLevel(
        logging.INFO if debugging else max(logging.WARNING, logging.getLevelName(level))
    )


def _shared() -> list[Processor]:
    """What structlog's events and the standard library's records have in common."""
    return [
        structlog.contextvars.merge_contextvars,
        add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Whatever is logged while a request is answered says which."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _formatter(*, as_json: bool) -> structlog.stdlib.ProcessorFormatter:
    rendering: list[Processor] = (
        [describe_exception, clean, structlog.processors.JSONRenderer()]
        if as_json
        else [summarise_exception, clean, render_for_people]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )


def describe_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the whole traceback, as one text."""
    raised = _raised(event)
    if raised:
        event["exception"] = "".join(traceback.format_exception(*raised)).rstrip()
    return event


def summarise_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by one line: what was raised, where, and by way of what."""
    raised = _raised(event)
    if raised:
        kind, error, trace = raised
        frames = [f"{_short(f.filename)}:{f.lineno} {f.name}" for f in reversed(traceback.extract_tb(trace))]
        event["exception"] = f"{kind.__name__}: {error} [{' < '.join(frames)}]"
    return event


def _raised(event: EventDict) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    given: ExcInfo | BaseException | bool | None = event.pop("exc_info", None)
    match given:
        case BaseException():
            return type(given), given, given.__traceback__
        case (type(), BaseException(), _):
            return given
        case _ if given:
            kind, error, trace = sys.exc_info()
            return (kind, error, trace) if kind and error else None
        case _:
            return None


def _short(path: str) -> str:
    return "/".join(path.replace("\\", "/").rsplit("/", 2)[-2:])


def clean(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Redact, then shorten: a cut could leave the half of a secret that no rule recognises."""
    ordered = {key: event[key] for key in FIRST_KEYS if key in event} | dict(event)
    return {key: _shortened(key, redact(key, value)) for key, value in ordered.items()}


def _shortened(key: str, value: Any) -> Any:
    limit = LONGEST_VALUE * 4 if key == "exception" else LONGEST_VALUE
    match value:
        case str() if len(value) > limit:
            return f"{value[:limit]}... (cut)"
        case int() if not -(10**20) < value < 10**20:
            return "a very large integer"
        case dict():
            return {name: _shortened(name, item) for name, item in value.items()}
        case list():
            return [_shortened("", item) for item in value]
        case _:
            return value


COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


def render_for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """`12:00:00 info     batch committed  source=airports inserted=4000`"""
    event.pop("logger", None)
    time, level = str(event.pop("time", "")), str(event.pop("level", "info"))
    message = printable(str(event.pop("event", "")))
    details = " ".join(f"{printable(key)}={_quoted(value)}" for key, value in event.items())
    line = f"{time[11:19]} {_coloured(level)} {message}"
    return f"{line}  {details}" if details else line


def _coloured(level: str) -> str:
    padded = f"{level:<8}"
    return f"\x1b[{COLOURS[level]}m{padded}\x1b[0m" if level in COLOURS and sys.stderr.isatty() else padded


def _quoted(value: Any) -> str:
    text = printable(str(value))
    return f'"{text}"' if " " in text or not text else text


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    log = structlog.get_logger("kasparro.threads")
    log.error("a thread failed", thread=getattr(failure.thread, "name", None), exc_info=failure.exc_value)


def _log_unraisable(failure: sys.UnraisableHookArgs) -> None:
    log = structlog.get_logger("kasparro.interpreter")
    log.error(redact_text(failure.err_msg or "an error that nobody could catch"), exc_info=failure.exc_value)
