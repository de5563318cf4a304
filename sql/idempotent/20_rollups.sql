-- Rollups: which there are, how each of their columns is made, and computing buckets anew from their source's rows.

CREATE OR REPLACE VIEW depthgauge.rollups (name, source, width, parent) AS VALUES
    ('worker_snapshots_5m',      'worker_snapshots',      interval '5 minutes', 'worker_snapshots_1h'),
    ('worker_snapshots_1h',      'worker_snapshots_5m',   interval '1 hour',    NULL),
    ('queue_metrics_5m',         'queue_metrics',         interval '5 minutes', 'queue_metrics_1h'),
    ('queue_metrics_1h',         'queue_metrics_5m',      interval '1 hour',    NULL),
    ('system_health_metrics_1h', 'system_health_metrics', interval '1 hour',    NULL),
    ('performance_metrics_1h',   'performance_metrics',   interval '1 hour',    NULL);

COMMENT ON VIEW depthgauge.rollups IS
    'Each rollup, what it is computed from, the width of its buckets, and the rollup that is computed from it.';

CREATE OR REPLACE VIEW depthgauge.rollup_columns AS
WITH columns AS (
    SELECT r.name AS rollup, r.source, a.attnum, a.attname::text AS name,
           (regexp_match(a.attname, '^(.+)_(min|max|sum|count|first|increase)$'))[1] AS stem,
           (regexp_match(a.attname, '^(.+)_(min|max|sum|count|first|increase)$'))[2] AS suffix,
           EXISTS (
               SELECT FROM pg_catalog.pg_attribute b
               WHERE b.attrelid = format('depthgauge.%I', r.source)::regclass AND b.attname = a.attname AND NOT b.attisdropped
           ) AS in_source
    FROM depthgauge.rollups r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = format('depthgauge.%I', r.name)::regclass AND a.attnum > 0 AND NOT a.attisdropped
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
    )
)
SELECT rollup, attnum, name,
       -- What the source has under the same name, it is made of; anything else is made of the column without the suffix.
       CASE WHEN in_source THEN name ELSE stem END AS made_of,
       CASE
           WHEN name = 'samples' THEN CASE WHEN in_source THEN 'sum' ELSE 'rows' END
           WHEN name LIKE '%\_histogram' THEN 'histogram'
           WHEN NOT in_source THEN suffix
           -- Counts and sums stay what they are when they are added up, in the raw rows of response times too.
           WHEN suffix IN ('sum', 'count') THEN 'sum'
           WHEN suffix IN ('min', 'max', 'first') THEN suffix
           WHEN suffix = 'increase' THEN 'increases'
           ELSE 'last'
       END AS how
FROM columns;

COMMENT ON VIEW depthgauge.rollup_columns IS
    'How each column of a rollup is made, and of what: last, first, min, max, sum, count (of the values known), rows, increase (of a counter), histogram.';

CREATE OR REPLACE FUNCTION depthgauge.increase(readings bigint[]) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(CASE WHEN later >= sooner THEN later - sooner ELSE later END), 0)
    FROM (
        SELECT r AS later, lag(r) OVER (ORDER BY n) AS sooner FROM unnest(readings) WITH ORDINALITY AS u (r, n)
    ) AS steps
    WHERE sooner IS NOT NULL
$$;

COMMENT ON FUNCTION depthgauge.increase(bigint[]) IS
    'What a counter gained over readings in their order; one that fell had started again from 0.';

CREATE OR REPLACE FUNCTION depthgauge.increase_between(firsts bigint[], lasts bigint[]) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(CASE WHEN f >= l THEN f - l ELSE f END), 0)
    FROM (
        SELECT f, lag(l) OVER (ORDER BY n) AS l FROM unnest(firsts, lasts) WITH ORDINALITY AS u (f, l, n)
    ) AS steps
    WHERE l IS NOT NULL
$$;

COMMENT ON FUNCTION depthgauge.increase_between(bigint[], bigint[]) IS
    'What a counter gained between buckets, given the first and last reading of each, in their order.';

CREATE OR REPLACE FUNCTION depthgauge.add_arrays(one bigint[], other bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN one IS NULL THEN other
        WHEN other IS NULL THEN one
        ELSE (SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY n) FROM unnest(one, other) WITH ORDINALITY AS u (a, b, n))
    END
$$;

COMMENT ON FUNCTION depthgauge.add_arrays(bigint[], bigint[]) IS
    'Adds two histograms, number by number.';

DO $$
BEGIN
    IF to_regprocedure('depthgauge.sum_histograms(bigint[])') IS NULL THEN
        CREATE AGGREGATE depthgauge.sum_histograms(bigint[]) (
            SFUNC = depthgauge.add_arrays, STYPE = bigint[], COMBINEFUNC = depthgauge.add_arrays, PARALLEL = SAFE
        );
    END IF;
END
$$;

COMMENT ON AGGREGATE depthgauge.sum_histograms(bigint[]) IS
    'Adds up histograms; NULL without any.';

CREATE OR REPLACE FUNCTION depthgauge.histogram_quantile(quantile double precision, histogram bigint[]) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    -- Within a bucket samples are taken to lie evenly, as Prometheus does; above the last bound there is nothing to say but it.
    WITH counts AS (
        SELECT n, c, sum(c) OVER (ORDER BY n) AS upto, 0.001 * 2 ^ ((n - 1) / 4.0) AS bound FROM unnest(histogram) WITH ORDINALITY AS u (c, n)
    ), wanted AS (
        SELECT quantile * max(upto) AS rank, max(n) AS last FROM counts
    )
    SELECT CASE
        WHEN n = last THEN 0.001 * 2 ^ ((n - 2) / 4.0)
        WHEN n = 1 THEN bound * rank / c
        ELSE bound / 2 ^ 0.25 + (bound - bound / 2 ^ 0.25) * (rank - (upto - c)) / c
    END
    FROM counts, wanted
    WHERE c > 0 AND upto >= rank AND quantile BETWEEN 0 AND 1
    ORDER BY n LIMIT 1
$$;

COMMENT ON FUNCTION depthgauge.histogram_quantile(double precision, bigint[]) IS
    'The value below which this part (0 to 1) of a response_histogram''s samples lies, in seconds: right to a quarter of a doubling. NULL without samples.';

CREATE OR REPLACE FUNCTION depthgauge.compute_buckets(rollup_name text, starts timestamptz, ends timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    source_name text;
    moment      text;
    bucket_of   text;
    keys        text;
    names       text;
    makes       text;
    changed     bigint;
BEGIN
    SELECT r.source, s.time_column, format('date_bin(%L::interval, r.%I, ''epoch''::timestamptz)', r.width, s.time_column)
    INTO STRICT source_name, moment, bucket_of
    FROM depthgauge.rollups r JOIN depthgauge.series s ON s.name = r.source WHERE r.name = rollup_name;

    SELECT string_agg(format('%I', a.attname), ', ' ORDER BY array_position(i.indkey::int2[], a.attnum)) INTO STRICT keys
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname <> 'bucket'
    WHERE i.indrelid = format('depthgauge.%I', rollup_name)::regclass AND i.indisprimary;

    SELECT string_agg(format('%I', c.name), ', ' ORDER BY c.attnum),
           string_agg(CASE c.how
               WHEN 'rows' THEN 'count(*)'
               WHEN 'last' THEN format('(array_agg(r.%1$I ORDER BY r.%2$I DESC) FILTER (WHERE r.%1$I IS NOT NULL))[1]', c.made_of, moment)
               WHEN 'first' THEN format('(array_agg(r.%1$I ORDER BY r.%2$I) FILTER (WHERE r.%1$I IS NOT NULL))[1]', c.made_of, moment)
               WHEN 'histogram' THEN format('depthgauge.sum_histograms(r.%I)', c.made_of)
               WHEN 'increase' THEN format('depthgauge.increase(array_agg(r.%1$I ORDER BY r.%2$I) FILTER (WHERE r.%1$I IS NOT NULL))', c.made_of, moment)
               WHEN 'increases' THEN format(
                   'sum(r.%1$I) + depthgauge.increase_between(array_agg(r.%2$I ORDER BY r.%3$I) FILTER (WHERE r.%1$I IS NOT NULL),'
                   ' array_agg(r.%4$I ORDER BY r.%3$I) FILTER (WHERE r.%1$I IS NOT NULL))',
                   c.made_of, regexp_replace(c.made_of, '_increase$', '_first'), moment, regexp_replace(c.made_of, '_increase$', ''))
               ELSE format('%s(r.%I)', c.how, c.made_of)
           END, ', ' ORDER BY c.attnum)
    INTO STRICT names, makes
    FROM depthgauge.rollup_columns c WHERE c.rollup = rollup_name;

    -- A row that stays as it was is not written again.
    EXECUTE format(
        'INSERT INTO depthgauge.%1$I AS old (%2$s, bucket, %3$s)'
        ' SELECT %2$s, %4$s, %5$s FROM depthgauge.%6$I r WHERE r.%7$I >= $1 AND r.%7$I < $2 GROUP BY %2$s, %4$s'
        ' ON CONFLICT (%2$s, bucket) DO UPDATE SET (%3$s) = ROW (%8$s)'
        ' WHERE (%9$s) IS DISTINCT FROM (%8$s)',
        rollup_name, keys, names, bucket_of, makes, source_name, moment,
        (SELECT string_agg(format('excluded.%I', c.name), ', ' ORDER BY c.attnum) FROM depthgauge.rollup_columns c WHERE c.rollup = rollup_name),
        (SELECT string_agg(format('old.%I', c.name), ', ' ORDER BY c.attnum) FROM depthgauge.rollup_columns c WHERE c.rollup = rollup_name)
    ) USING starts, ends;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;

COMMENT ON FUNCTION depthgauge.compute_buckets(text, timestamptz, timestamptz) IS
    'Computes all buckets of one rollup from starts (inclusive) to ends (exclusive), whole, from what its source holds; returns how many rows changed.';

REVOKE ALL ON FUNCTION depthgauge.compute_buckets(text, timestamptz, timestamptz) FROM PUBLIC;
