"""Examples for the description of the API: one good answer for each operation, one value for each parameter.

They are checked: a test holds each against the schema it stands for.
"""

from __future__ import annotations

from typing import Any, Final

from kasparro import __version__

RUN: Final[dict[str, Any]] = {
    "run_id": "run_airports_c83dfb39",
    "source": "airports",
    "status": "success",
    "records_processed": 1458,
    "records_inserted": 1450,
    "records_updated": 3,
    "records_unchanged": 4,
    "records_failed": 0,
    "records_duplicates": 1,
    "records_deleted": 0,
    "start_time": "2026-11-23T04:50:09.602711Z",
    "end_time": "2026-11-23T04:50:09.964285Z",
    "duration_ms": 362,
    "error_message": None,
    "metadata": {"full": False, "trigger": "schedule"},
    "stale": False,
}
RECORD: Final[dict[str, Any]] = {
    "id": 3,
    "source": "airports",
    "source_id": "06C",
    "title": "Schaumburg Regional",
    "description": None,
    "content": None,
    "author": None,
    "published_at": None,
    "url": None,
    "category": "airport",
    "metadata": {"lat": "41.9893408", "lon": "-88.1012428"},
    "created_at": "2026-11-23T04:50:09.823190Z",
    "updated_at": "2026-11-23T04:50:09.823190Z",
}
REQUEST_ID: Final = "06dc5f59e9dd01a5504cd4705a16e88e"
COUNTS: Final = {name: value for name, value in RUN.items() if name.startswith("records_")}
QUEUED: Final = {"source": "airports", "run_id": "run_airports_4157bc25"}
HEALTH: Final[dict[str, Any]] = {
    "status": "healthy",
    "db_connected": True,
    "etl_last_run": "2026-11-23T04:50:09.964285Z",
    "etl_status": "success",
    "version": __version__,
    "time": "2026-11-23T04:50:10.338440Z",
    "detail": None,
}
UNHEALTHY: Final = HEALTH | {
    "status": "unhealthy",
    "db_connected": False,
    "etl_last_run": None,
    "etl_status": None,
    "detail": "database_unavailable",
}

ENTITY: Final[dict[str, Any]] = {
    "id": "019dbd5c-5f1e-7a3c-9b1d-2f0a6c1e8d47",
    "created_at": "2026-11-23T04:50:09.823190Z",
    "record_count": 2,
    "records": [
        {
            "source": "airports",
            "source_id": "06C",
            "record_id": 1,
            "title": "Schaumburg Regional",
            "url": "https://www.example.org/airports/06C",
            "method": "first",
            "confidence": 1.0,
            "decided_by": "rule",
            "decided_at": "2026-11-23T04:50:09.823190Z",
            "conflict": None,
        },
        {
            "source": "registry",
            "source_id": "K06C",
            "record_id": 1451,
            "title": "Schaumburg Rgnl",
            "url": "https://www.example.org/airports/06C/",
            "method": "url",
            "confidence": 0.95,
            "decided_by": "rule",
            "decided_at": "2026-11-23T04:51:12.101832Z",
            "conflict": None,
        },
    ],
}
CHANGES: Final[dict[str, Any]] = {
    "request_id": REQUEST_ID,
    "next_since": "ZkKcJ0x1",
    "more": False,
    "api_latency_ms": 3.1,
    "changes": [
        {"op": "upsert", "source": "airports", "version": 7, "id": 3, "source_id": "06C", "record": RECORD}
    ],
}
ANSWERS: Final[dict[str, Any]] = {
    "get_index": {
        "name": "kasparro",
        "version": __version__,
        "links": {"data": "/data", "health": "/health", "docs": "/docs"},
    },
    "get_health": HEALTH,
    "get_readiness": HEALTH,
    "get_liveness": {"status": "healthy", "version": __version__, "time": "2026-11-23T04:50:10.338440Z"},
    "get_metrics": (
        "# HELP kasparro_database_up Whether the database answered this scrape\n"
        "# TYPE kasparro_database_up gauge\n"
        "kasparro_database_up 1.0\n"
    ),
    "list_changes": CHANGES,
    "list_records": {
        "request_id": REQUEST_ID,
        "as_of": "2026-11-23T04:50:10.338440Z",
        "stale": False,
        "total_count": 1458,
        "count": "exact",
        "limit": 1,
        "offset": 2,
        "next_cursor": None,
        "api_latency_ms": 2.31,
        "data": [RECORD],
    },
    "get_record": RECORD,
    "get_lineage": {
        "id": 3,
        "source": "airports",
        "source_id": "06C",
        "declared": True,
        "version": 1,
        "raw": {
            "id": 3,
            "external_id": "06C",
            "ingested_at": "2026-11-23T04:50:09.823190Z",
            "payload_hash": "0f343b0931126a20f133d67c2b018a3b",
            "processed": True,
            "place": {
                "kind": "csv",
                "file": "data/airports.csv",
                "byte_start": 182,
                "byte_end": 258,
                "line": 4,
            },
            "href": "/data/3/raw",
        },
        "run": {
            "run_id": RUN["run_id"],
            "status": "success",
            "start_time": RUN["start_time"],
            "end_time": RUN["end_time"],
            "duration_ms": 362,
        },
        "map": {"fingerprint": "9f86d081884c7d65", "reproduces": True, "rejects": None},
        "fields": {
            "title": {"how": "path", "path": "name", "converted": False, "names": None},
            "metadata": {"how": "rest", "path": None, "converted": False, "names": ["lat", "lon"]},
        },
    },
    "get_raw_record": {
        "faa": "06C",
        "name": "Schaumburg Regional",
        "lat": "41.9893408",
        "lon": "-88.1012428",
    },
    "get_stats": {
        "last_run_id": RUN["run_id"],
        "total_records_processed": 1458,
        "total_records_inserted": 1450,
        "total_records_failed": 0,
        "total_records_deleted": 0,
        "last_run_timestamp": RUN["start_time"],
        "last_run_status": "success",
        "last_success_timestamp": RUN["end_time"],
        "last_failure_timestamp": None,
        "runs": [RUN],
        "sources": [
            {
                "source": "airports",
                "record_count": 1450,
                **COUNTS,
                "last_success_timestamp": RUN["end_time"],
                "last_failure_timestamp": None,
            }
        ],
    },
    "list_runs": {"request_id": REQUEST_ID, "limit": 1, "offset": 0, "has_more": False, "runs": [RUN]},
    "get_run": RUN,
    "list_checkpoints": {
        "checkpoints": [
            {
                "source": "airports",
                "status": "complete",
                "last_processed_id": "ZYP",
                "last_processed_timestamp": "2026-11-23T04:50:09.823190Z",
                "checkpoint_timestamp": "2026-11-23T04:50:09.823190Z",
                "cursor": None,
                "version": 1,
                "record_count": 1450,
            }
        ]
    },
    "list_schema_drifts": {
        "request_id": REQUEST_ID,
        "limit": 10,
        "offset": 0,
        "has_more": False,
        "drifts": [
            {
                "id": 1,
                "source": "airports",
                "field_path": "full_name",
                "kind": "renamed",
                "before": {"field": "full_name", "types": ["text"]},
                "after": {"field": "name", "types": ["text"]},
                "confidence": 0.9,
                "first_seen_run": RUN["run_id"],
                "example": {"place": "airports.csv:2 (bytes 41-98)", "value": "Schaumburg Regional"},
                "decision": "evolved",
                "detected_at": "2026-11-23T04:50:09.823190Z",
                "decided_at": None,
            }
        ],
    },
    "list_entities": {
        "request_id": REQUEST_ID,
        "limit": 10,
        "next_after": None,
        "entities": [ENTITY],
    },
    "get_entity": ENTITY,
    "list_sources": {
        "sources": [
            {
                "name": "airports",
                "type": "csv",
                "description": "Airports of the United States",
                "enabled": True,
                "declared": True,
                "schedule": "0 */6 * * *",
                "freshness_seconds": 43_200,
                "stale": False,
                "record_count": 1450,
                "version": 1,
                "running": False,
                "last_run": RUN,
            }
        ]
    },
    "run_all_sources": {"runs": [QUEUED], "already_running": ["repositories"]},
    "run_source": {"runs": [QUEUED]},
}
"""By operation."""

PARAMETERS: Final[dict[str, Any]] = {
    "limit": 10,
    "offset": 0,
    "source": "airports",
    "status": "success",
    "run_id": RUN["run_id"],
    "id": 3,
    "entity_id": ENTITY["id"],
    "after": ENTITY["id"],
    "matched": True,
    "conflicts": False,
}
"""By name."""
