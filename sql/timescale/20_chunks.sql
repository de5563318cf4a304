-- What upkeep does with chunks: the same functions as plain/10_partitions.sql has for native partitions. Functions of
-- TimescaleDB are called by their schema, which need not be public.

CREATE OR REPLACE FUNCTION depthgauge.make_room(series_name text, days date[]) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 0::bigint
$$;

COMMENT ON FUNCTION depthgauge.make_room(text, date[]) IS
    'Nothing needs to be made: chunks come with the rows.';

CREATE OR REPLACE FUNCTION depthgauge.drop_before(series_name text, cutoff timestamptz)
RETURNS TABLE (dropped bigint, up_to timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    SELECT count(*), max(c.range_end) INTO dropped, up_to
    FROM timescaledb_information.chunks c
    WHERE c.hypertable_schema = 'depthgauge' AND c.hypertable_name = series_name AND c.range_end <= cutoff;
    IF dropped > 0 THEN
        EXECUTE format(
            'SELECT count(*) FROM %1$I.drop_chunks(%2$L::regclass, older_than => %3$L::timestamptz)',
            depthgauge.timescaledb_schema(), format('depthgauge.%I', series_name), cutoff
        );
    END IF;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION depthgauge.drop_before(text, timestamptz) IS
    'Drops the chunks of one table that end before the cutoff; returns how many, and the end of the last of them.';

CREATE OR REPLACE FUNCTION depthgauge.columnstore_due() RETURNS TABLE (series_name text, chunk regclass, ended_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT _timescaledb_functions.tsl_loaded() THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT s.name, format('%I.%I', c.chunk_schema, c.chunk_name)::regclass, c.range_end
    FROM depthgauge.series s
    JOIN timescaledb_information.chunks c ON c.hypertable_schema = 'depthgauge' AND c.hypertable_name = s.name
    JOIN timescaledb_information.hypertables h ON h.hypertable_schema = 'depthgauge' AND h.hypertable_name = s.name
    JOIN _timescaledb_catalog.chunk k ON k.schema_name = c.chunk_schema AND k.table_name = c.chunk_name
    -- Status 1 is compressed; any further bit says that rows came later and lie beside the compressed ones.
    WHERE h.compression_enabled AND c.range_end <= now() - s.columnstore_after AND k.status <> 1
    ORDER BY c.range_end, s.name;
END
$$;

COMMENT ON FUNCTION depthgauge.columnstore_due() IS
    'Chunks that should be in the columnstore and are not, or not wholly, oldest first; none in the Apache edition.';

CREATE OR REPLACE FUNCTION depthgauge.compress(chunk regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT %I.compress_chunk(%L::regclass, if_not_compressed => true)', depthgauge.timescaledb_schema(), chunk);
END
$$;

COMMENT ON FUNCTION depthgauge.compress(regclass) IS
    'Puts a chunk into the columnstore, rows that came later included.';

-- Segments are series, and a segment's rows are ordered by time: what dashboards read. The names with "compress" are known
-- to every version of the community edition.
DO $$
DECLARE
    table_name text;
    keys       text;
    moment     text;
BEGIN
    IF NOT _timescaledb_functions.tsl_loaded() THEN
        RETURN;
    END IF;
    FOR table_name, moment, keys IN
        SELECT s.name, s.time_column, string_agg(quote_ident(a.attname), ', ' ORDER BY array_position(i.indkey::int2[], a.attnum))
        FROM depthgauge.series s
        JOIN pg_index i ON i.indrelid = format('depthgauge.%I', s.name)::regclass AND i.indisprimary
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname <> s.time_column
        JOIN timescaledb_information.hypertables h ON h.hypertable_schema = 'depthgauge' AND h.hypertable_name = s.name
        WHERE s.columnstore_after IS NOT NULL AND NOT h.compression_enabled
        GROUP BY s.name, s.time_column
    LOOP
        EXECUTE format(
            'ALTER TABLE depthgauge.%I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
            table_name, keys, format('%I DESC', moment)
        );
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION
    depthgauge.make_room(text, date[]), depthgauge.drop_before(text, timestamptz), depthgauge.compress(regclass)
FROM PUBLIC;
