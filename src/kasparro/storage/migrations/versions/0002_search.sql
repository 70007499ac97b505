CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE record_search (
    record_id BIGINT NOT NULL,
    language VARCHAR(20) NOT NULL,
    vector TSVECTOR NOT NULL,
    title TEXT,
    CONSTRAINT record_search_pkey PRIMARY KEY (record_id),
    CONSTRAINT record_search_record_id_fkey FOREIGN KEY (record_id) REFERENCES normalized_data (id) ON DELETE CASCADE
);
CREATE INDEX record_search_vector_idx ON record_search USING gin (vector);
CREATE INDEX record_search_title_idx ON record_search USING gin (title gin_trgm_ops);

ALTER TABLE etl_checkpoint ADD COLUMN search_language VARCHAR(20);

DROP INDEX normalized_data_created_at_idx;
CREATE INDEX normalized_data_created_at_idx ON normalized_data (created_at);
