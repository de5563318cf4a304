-- Upkeep, in short transactions: CALL depthgauge.maintain(). Each step is a function with the rights of the schema's owner,
-- so that the sink's role needs no more than to call it; each takes the same lock, so that one works at a time.

CREATE OR REPLACE FUNCTION depthgauge.take_turn() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- For the transaction: a session's lock would stay behind in a pooler's connection.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('depthgauge.maintain', 0)) THEN
        RETURN false;
    END IF;
    -- Not while migrate turns partitions into hypertables: buckets would be computed from half of their rows. It takes the
    -- same lock before it sets the partitions aside, so that this is asked when that is done or cannot begin.
    RETURN NOT EXISTS (SELECT FROM depthgauge.series s WHERE to_regclass(format('depthgauge.%I', s.name || '_partitions')) IS NOT NULL);
END
$$;

CREATE OR REPLACE FUNCTION depthgauge.roll_up_some(most bigint DEFAULT 12) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    rollup_name text;
    stretch     interval;
    above       text;
    above_width interval;
    horizon     timestamptz;
    chosen      timestamptz[];
BEGIN
    IF NOT depthgauge.take_turn() THEN
        RETURN -1;
    END IF;
    -- The narrow ones first: the wide ones are computed from them.
    SELECT r.name, r.width, r.parent, p.width, s.dropped_before
    INTO rollup_name, stretch, above, above_width, horizon
    FROM depthgauge.rollups r
    JOIN depthgauge.series s ON s.name = r.source
    LEFT JOIN depthgauge.rollups p ON p.name = r.parent
    WHERE EXISTS (SELECT FROM depthgauge.dirty_buckets d WHERE d.rollup = r.name)
    ORDER BY r.width, r.name LIMIT 1;
    IF NOT FOUND THEN
        -- Marks that name no rollup would stay for ever. Not simply all: some may have come since the look above.
        DELETE FROM depthgauge.dirty_buckets d WHERE NOT EXISTS (SELECT FROM depthgauge.rollups r WHERE r.name = d.rollup);
        RETURN 0;
    END IF;

    SELECT array_agg(d.bucket ORDER BY d.bucket) INTO chosen
    FROM (SELECT DISTINCT bucket FROM depthgauge.dirty_buckets WHERE rollup = rollup_name ORDER BY bucket LIMIT most) AS d;
    -- What is marked from here on, by transactions that are not committed yet, keeps its mark.
    DELETE FROM depthgauge.dirty_buckets WHERE rollup = rollup_name AND bucket = ANY (chosen);
    -- Buckets whose rows have been dropped stay as they are.
    SELECT array_agg(b ORDER BY b) INTO chosen FROM unnest(chosen) b WHERE horizon IS NULL OR b >= horizon;
    IF chosen IS NULL THEN
        RETURN 1;
    END IF;

    PERFORM depthgauge.make_room(rollup_name, ARRAY(SELECT DISTINCT b::date FROM unnest(chosen) b));
    -- Neighbours go together.
    PERFORM depthgauge.compute_buckets(rollup_name, min(island.b), max(island.b) + stretch)
    FROM (SELECT b, b - row_number() OVER (ORDER BY b) * stretch AS start FROM unnest(chosen) b) AS island
    GROUP BY island.start;
    IF above IS NOT NULL THEN
        INSERT INTO depthgauge.dirty_buckets (rollup, bucket)
        SELECT DISTINCT above, date_bin(above_width, b, 'epoch') FROM unnest(chosen) b;
    END IF;
    RETURN cardinality(chosen);
END
$$;

COMMENT ON FUNCTION depthgauge.roll_up_some(bigint) IS
    'Computes some of the marked buckets; returns how many, 0 when none is left, -1 when another session is at it.';

CREATE OR REPLACE FUNCTION depthgauge.drop_expired(series_name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    cutoff timestamptz;
    gone   bigint;
    up_to  timestamptz;
BEGIN
    IF NOT depthgauge.take_turn() THEN
        RETURN -1;
    END IF;
    -- An hour later than what sinks still take, so that their clocks and this one need not agree to the second.
    SELECT now() - s.keep - interval '1 hour' INTO STRICT cutoff FROM depthgauge.series s WHERE s.name = series_name;
    IF EXISTS (
        SELECT FROM depthgauge.dirty_buckets d JOIN depthgauge.rollups r ON r.name = d.rollup
        WHERE r.source = series_name AND d.bucket < cutoff
    ) THEN
        RETURN 0;
    END IF;
    SELECT d.dropped, d.up_to INTO gone, up_to FROM depthgauge.drop_before(series_name, cutoff) d;
    IF gone > 0 THEN
        UPDATE depthgauge.series s SET dropped_before = greatest(s.dropped_before, up_to) WHERE s.name = series_name;
    END IF;
    RETURN gone;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RAISE WARNING 'depthgauge.drop_expired: % is in use by somebody else, trying again next time', series_name;
        RETURN 0;
END
$$;

COMMENT ON FUNCTION depthgauge.drop_expired(text) IS
    'Drops what one table has kept for longer than depthgauge.series says, unless it still has to be rolled up; returns how many partitions or chunks.';

CREATE OR REPLACE FUNCTION depthgauge.compress_next() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due regclass;
BEGIN
    IF NOT depthgauge.take_turn() THEN
        RETURN -1;
    END IF;
    SELECT c.chunk INTO due FROM depthgauge.columnstore_due() c LIMIT 1;
    IF due IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM depthgauge.compress(due);
    RETURN 1;
END
$$;

COMMENT ON FUNCTION depthgauge.compress_next() IS
    'Puts the oldest chunk that is due into the columnstore (TimescaleDB''s community edition); returns 0 when none is.';

CREATE OR REPLACE FUNCTION depthgauge.note_step(step_name text, since timestamptz, things bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO depthgauge.maintenance (step, finished_at, seconds, done)
    VALUES (step_name, clock_timestamp(), extract(epoch FROM clock_timestamp() - since), things)
    ON CONFLICT (step) DO UPDATE SET finished_at = excluded.finished_at, seconds = excluded.seconds, done = excluded.done
$$;

CREATE OR REPLACE PROCEDURE depthgauge.maintain(seconds double precision DEFAULT 60)
LANGUAGE plpgsql AS $$
DECLARE
    started  timestamptz := clock_timestamp();
    since    timestamptz := clock_timestamp();
    enough   timestamptz := clock_timestamp() + seconds * interval '1 second';
    total    bigint := 0;
    done     bigint;
    table_name text;
BEGIN
    -- Every name is qualified: a procedure that commits can have no search_path of its own.
    LOOP
        done := depthgauge.roll_up_some();
        COMMIT;
        IF done < 0 OR pg_catalog.clock_timestamp() > enough THEN
            RETURN;
        END IF;
        EXIT WHEN done = 0;
        total := total + done;
    END LOOP;
    PERFORM depthgauge.note_step('roll_up', since, total);
    COMMIT;

    since := pg_catalog.clock_timestamp();
    total := 0;
    FOR table_name IN SELECT s.name FROM depthgauge.series s ORDER BY s.name LOOP
        done := depthgauge.drop_expired(table_name);
        COMMIT;
        IF done < 0 OR pg_catalog.clock_timestamp() > enough THEN
            RETURN;
        END IF;
        total := total + done;
    END LOOP;
    PERFORM depthgauge.note_step('drop', since, total);
    COMMIT;

    since := pg_catalog.clock_timestamp();
    total := 0;
    LOOP
        done := depthgauge.compress_next();
        COMMIT;
        IF done < 0 OR pg_catalog.clock_timestamp() > enough THEN
            RETURN;
        END IF;
        EXIT WHEN done = 0;
        total := total + done;
    END LOOP;
    PERFORM depthgauge.note_step('columnstore', since, total);
    PERFORM depthgauge.note_step('all', started, 1);
    COMMIT;
END
$$;

COMMENT ON PROCEDURE depthgauge.maintain(double precision) IS
    'Computes the marked buckets of rollups, then drops what is past its retention, then fills the columnstore: until all is done, or for about so many seconds. Does nothing while another session is at it.';

CREATE OR REPLACE FUNCTION depthgauge.find_gaps(since timestamptz DEFAULT '-infinity', open_for interval DEFAULT '24 hours')
RETURNS TABLE (
    host text, run_id text, first_seq bigint, last_seq bigint, snapshots bigint, dropped bigint,
    state text, before_at timestamptz, after_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH horizon AS (
        SELECT greatest(since, s.dropped_before, '-infinity') AS at FROM depthgauge.series s WHERE s.name = 'snapshots'
    ), ledger AS (
        SELECT l.host, l.run_id, l.seq, l.recorded_at,
               lag(l.seq) OVER run AS before_seq, lag(l.recorded_at) OVER run AS before_at,
               row_number() OVER (PARTITION BY l.host, l.run_id ORDER BY l.seq DESC) = 1 AS is_last
        FROM depthgauge.snapshots l, horizon h
        WHERE l.recorded_at >= h.at
        WINDOW run AS (PARTITION BY l.host, l.run_id ORDER BY l.seq)
    ), found AS (
        SELECT l.host, l.run_id, coalesce(l.before_seq, 0) + 1 AS first_seq, l.seq - 1 AS last_seq,
               l.seq - 1 - coalesce(l.before_seq, 0) AS snapshots, l.before_at, l.recorded_at AS after_at
        FROM ledger l, horizon h
        -- What a run wrote before the time that is looked at is not missing: a first row counts only well inside of it.
        WHERE l.seq > coalesce(l.before_seq, 0) + 1 AND (l.before_seq IS NOT NULL OR l.recorded_at > h.at + interval '2 hours')
    ), told AS (
        SELECT e.host, e.run_id, l.drops, l.earlier_drops
        FROM ledger e JOIN depthgauge.snapshots l USING (host, recorded_at, run_id, seq) WHERE e.is_last
    ), drops AS (
        SELECT host, run_id, max(number) AS number FROM (
            SELECT t.host, t.run_id, (SELECT sum(value::bigint) FROM jsonb_each_text(t.drops)) AS number FROM told t
            UNION ALL
            SELECT t.host, r.key, (SELECT sum(value::bigint) FROM jsonb_each_text(r.value))
            FROM told t CROSS JOIN LATERAL jsonb_each(t.earlier_drops) r
        ) AS each_told GROUP BY host, run_id
    ), shared AS (
        -- The oldest are dropped first, so the drops of a run explain its oldest gaps.
        SELECT f.*, least(f.snapshots, greatest(0, coalesce(d.number, 0)
               - coalesce(sum(f.snapshots) OVER (PARTITION BY f.host, f.run_id ORDER BY f.first_seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
               ))::bigint AS dropped
        FROM found f LEFT JOIN drops d USING (host, run_id)
    )
    SELECT host, run_id, first_seq, last_seq, snapshots, dropped,
           CASE WHEN dropped = snapshots THEN 'dropped' WHEN after_at > now() - open_for THEN 'open' ELSE 'lost' END,
           before_at, after_at
    FROM shared
    ORDER BY host, run_id, first_seq
$$;

COMMENT ON FUNCTION depthgauge.find_gaps(timestamptz, interval) IS
    'Snapshots missing from the ledger between two of a run, or before its first: dropped where the exporter has told so, open while a spool may still hold them, lost after that. dropped counts those told within the gap.';

REVOKE ALL ON FUNCTION
    depthgauge.take_turn(), depthgauge.roll_up_some(bigint), depthgauge.drop_expired(text), depthgauge.compress_next(),
    depthgauge.note_step(text, timestamptz, bigint)
FROM PUBLIC;
REVOKE ALL ON PROCEDURE depthgauge.maintain(double precision) FROM PUBLIC;
