-- Native partitions (UTC), as wide as depthgauge.series says. There is no DEFAULT partition: rows that landed there would
-- have to be moved before their own partition could be made.

CREATE OR REPLACE FUNCTION depthgauge.make_room(series_name text, days date[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    width     integer;
    first_day date;
    partition name;
    made      bigint := 0;
BEGIN
    -- Before anything is looked up: what others have made while this waited has to be seen.
    PERFORM pg_advisory_xact_lock(hashtextextended('depthgauge.make_room', 0));
    SELECT s.chunk_days INTO STRICT width FROM depthgauge.series s WHERE s.name = series_name;
    FOR first_day IN
        SELECT DISTINCT date '1970-01-01' + div(d - date '1970-01-01', width)::integer * width FROM unnest(days) d ORDER BY 1
    LOOP
        partition := format('%s_p%s', series_name, to_char(first_day, 'YYYYMMDD'));
        CONTINUE WHEN to_regclass(format('depthgauge.%I', partition)) IS NOT NULL;
        -- CREATE TABLE … PARTITION OF would wait for every reader of the parent; ATTACH waits for none.
        EXECUTE format(
            'CREATE TABLE depthgauge.%I (LIKE depthgauge.%I INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING CONSTRAINTS)',
            partition, series_name
        );
        EXECUTE format(
            'ALTER TABLE depthgauge.%I ATTACH PARTITION depthgauge.%I FOR VALUES FROM (%L) TO (%L)',
            series_name, partition, first_day::timestamptz, (first_day + width)::timestamptz
        );
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION depthgauge.make_room(text, date[]) IS
    'Makes the partitions that hold these days (UTC) in one table, where they are missing; returns how many were made.';

CREATE OR REPLACE FUNCTION depthgauge.ensure_partitions(days date[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    wanted date;
    made   bigint;
BEGIN
    -- The caller may be the sink's role: it gets the partitions that snapshots need, and no way to make a million tables.
    IF cardinality(days) > 400 THEN
        RAISE EXCEPTION 'depthgauge.ensure_partitions: % days in one call, at most 400', cardinality(days)
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    FOREACH wanted IN ARRAY days LOOP
        IF wanted IS NULL OR wanted NOT BETWEEN current_date - 3660 AND current_date + 7 THEN
            RAISE EXCEPTION 'depthgauge.ensure_partitions: % is not between ten years ago and a week ahead', wanted
                USING ERRCODE = 'datetime_field_overflow';
        END IF;
    END LOOP;
    SELECT coalesce(sum(depthgauge.make_room(s.name, days)), 0) INTO made
    FROM depthgauge.series s WHERE s.class IN ('raw', 'processes', 'events');
    RETURN made;
END
$$;

COMMENT ON FUNCTION depthgauge.ensure_partitions(date[]) IS
    'Makes the partitions that hold these days (UTC) in every table that snapshots are written to; returns how many were made.';

CREATE OR REPLACE FUNCTION depthgauge.drop_before(series_name text, cutoff timestamptz)
RETURNS TABLE (dropped bigint, up_to timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    old record;
BEGIN
    dropped := 0;
    FOR old IN
        SELECT c.oid::regclass AS partition,
               substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz AS ends_at
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = format('depthgauge.%I', series_name)::regclass
        ORDER BY 2
    LOOP
        EXIT WHEN old.ends_at > cutoff;
        EXECUTE format('DROP TABLE %s', old.partition);
        dropped := dropped + 1;
        up_to := old.ends_at;
    END LOOP;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION depthgauge.drop_before(text, timestamptz) IS
    'Drops the partitions of one table that end before the cutoff; returns how many, and the end of the last of them.';

CREATE OR REPLACE FUNCTION depthgauge.columnstore_due() RETURNS TABLE (series_name text, chunk regclass, ended_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::text, NULL::regclass, NULL::timestamptz WHERE false
$$;

COMMENT ON FUNCTION depthgauge.columnstore_due() IS
    'Chunks that should be in the columnstore and are not, oldest first; there is none here.';

CREATE OR REPLACE FUNCTION depthgauge.compress(chunk regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'depthgauge.compress: native partitions have no columnstore' USING ERRCODE = 'feature_not_supported';
END
$$;

REVOKE ALL ON FUNCTION
    depthgauge.make_room(text, date[]), depthgauge.ensure_partitions(date[]), depthgauge.drop_before(text, timestamptz),
    depthgauge.compress(regclass)
FROM PUBLIC;
