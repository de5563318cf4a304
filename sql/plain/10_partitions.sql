-- Native partitions, one a day (UTC) and table. There is no DEFAULT partition: rows that landed there would have to be
-- moved before their day's partition could be made.

CREATE OR REPLACE FUNCTION depthgauge.ensure_partitions(days date[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    parent    name;
    wanted    date;
    partition name;
    made      bigint := 0;
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

    PERFORM pg_advisory_xact_lock(hashtextextended('depthgauge.ensure_partitions', 0));
    FOR parent IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'depthgauge'::regnamespace AND c.relkind = 'p' AND NOT c.relispartition
        ORDER BY c.relname
    LOOP
        FOREACH wanted IN ARRAY days LOOP
            partition := format('%s_p%s', parent, to_char(wanted, 'YYYYMMDD'));
            CONTINUE WHEN to_regclass(format('depthgauge.%I', partition)) IS NOT NULL;
            -- CREATE TABLE … PARTITION OF would wait for every reader of the parent; ATTACH waits for none.
            EXECUTE format(
                'CREATE TABLE depthgauge.%I (LIKE depthgauge.%I INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING CONSTRAINTS)',
                partition, parent
            );
            EXECUTE format(
                'ALTER TABLE depthgauge.%I ATTACH PARTITION depthgauge.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition, wanted::timestamptz, (wanted + 1)::timestamptz
            );
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION depthgauge.ensure_partitions(date[]) IS
    'Makes the partitions of these days (UTC) in every table, where they are missing; returns how many were made.';

REVOKE ALL ON FUNCTION depthgauge.ensure_partitions(date[]) FROM PUBLIC;
