CREATE TABLE source_limit (
    name VARCHAR(60) NOT NULL,
    next_at TIMESTAMPTZ,
    paused_until TIMESTAMPTZ,
    period_start TIMESTAMPTZ,
    period_used BIGINT DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    failure VARCHAR(40),
    open_until TIMESTAMPTZ,
    CONSTRAINT source_limit_pkey PRIMARY KEY (name),
    CONSTRAINT source_limit_counters_check CHECK (least(period_used, failures) >= 0),
    CONSTRAINT source_limit_explained_check CHECK ((failures > 0) = (failure IS NOT NULL))
);
