"""Keys of the API that are made and revoked while it serves."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE api_key (
            id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
            prefix VARCHAR(20) NOT NULL,
            digest BYTEA NOT NULL,
            name VARCHAR(100) NOT NULL,
            scope VARCHAR(20) NOT NULL,
            rate_per_minute INTEGER,
            created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
            expires_at TIMESTAMPTZ,
            revoked_at TIMESTAMPTZ,
            CONSTRAINT api_key_pkey PRIMARY KEY (id),
            CONSTRAINT api_key_prefix_key UNIQUE (prefix),
            CONSTRAINT api_key_scope_check CHECK (scope IN ('read', 'admin')),
            CONSTRAINT api_key_rate_per_minute_check CHECK (rate_per_minute > 0),
            CONSTRAINT api_key_digest_check CHECK (octet_length(digest) = 32)
        )
        """
    )
