-- lsh.sql: what the tests of the index share: data that is the same on every
-- server and in every version (random() is not), and comparisons with the exact
-- answer.  Included by test/sql/lsh_*.sql, read by test/t/*_lsh_*.pl.
-- They expect enable_seqscan = off; and jit = off, because of the costs that this
-- makes.

-- Nearly normal, variance 1, between -3 and 3: from three numbers of 21 bits.
CREATE FUNCTION noise(a bigint, b bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT ((hashint8extended(a, b) & 2097151) + (hashint8extended(a, b) >> 21 & 2097151) + (hashint8extended(a, b) >> 42 & 2097151))
		/ 1048576.0::double precision - 3
$$;

-- Even between 0 and 1.
CREATE FUNCTION even(a bigint, b bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT ((hashint8extended(a, b) & 2147483647) + 0.5::double precision) / 2147483648.0::double precision
$$;

-- Vector i of a distribution, d dimensions.
--	uniform		in a cube
--	sphere		of length 1, every direction
--	clustered	200 clusters
--	learned		as trained items lie: weak clusters, length between .2 and 1
--	far			like clustered, but of clusters elsewhere, and three times as long
CREATE FUNCTION vector_of(kind text, d int, i bigint) RETURNS embedding LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	x real[];
	cluster bigint := hashint8extended(i, 7) & 255;
BEGIN
	CASE kind
		WHEN 'uniform' THEN
			x := ARRAY(SELECT even(i * 4096 + k, 1) * 2 - 1 FROM generate_series(1, d) AS k);
		WHEN 'sphere' THEN
			RETURN l2_normalize(ARRAY(SELECT noise(i * 4096 + k, 2)::real FROM generate_series(1, d) AS k)::embedding);
		WHEN 'clustered' THEN
			x := ARRAY(SELECT noise(cluster * 4096 + k, 3) + noise(i * 4096 + k, 4) * 0.3 FROM generate_series(1, d) AS k);
		WHEN 'learned' THEN
			x := ARRAY(SELECT noise(cluster * 4096 + k, 5) * 0.7 + noise(i * 4096 + k, 6) FROM generate_series(1, d) AS k);
			RETURN l2_normalize(x::embedding) * array_fill((0.2 + 0.8 * sqrt(even(i, 8)))::real, ARRAY[d])::embedding;
		WHEN 'far' THEN
			x := ARRAY(SELECT 3 * noise(cluster * 4096 + k, 9) + noise(i * 4096 + k, 10) FROM generate_series(1, d) AS k);
	END CASE;
	RETURN x::embedding;
END
$$;

-- Share of the k nearest rows of table t that its index finds, over all rows of
-- table queries.  By distance: among rows that are equally far, any will do.
CREATE FUNCTION recall(t regclass, queries regclass, k int) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	q embedding;
	farthest double precision;
	n bigint;
	found bigint;
	all_n bigint := 0;
	all_found bigint := 0;
BEGIN
	FOR q IN EXECUTE format('SELECT e FROM %s ORDER BY id', queries)
	LOOP
		EXECUTE format('SELECT max(distance), count(*)
			FROM (SELECT e <-> $1 AS distance FROM %s ORDER BY (e <-> $1) + 0 LIMIT $2) AS x', t)
			INTO farthest, n USING q, k;
		EXECUTE format('SELECT count(*) FILTER (WHERE distance <= $3)
			FROM (SELECT e <-> $1 AS distance FROM %s ORDER BY e <-> $1 LIMIT $2) AS x', t)
			INTO found USING q, k, farthest;
		all_n := all_n + n;
		all_found := all_found + found;
	END LOOP;
	RETURN all_found / nullif(all_n, 0)::double precision;
END
$$;

-- What is wrong with a scan that nothing ends: is every row there once, those
-- without a vector last, and (as_sorted) is the order that of a sort?
-- "right" if nothing is.
CREATE FUNCTION whole_scan(t regclass, q embedding, as_sorted boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	n_scan bigint;
	n_different bigint;
	early_null bigint;
	same_order boolean;
BEGIN
	EXECUTE format('SELECT count(*) FROM %s', t) INTO n;
	EXECUTE format('WITH scan AS MATERIALIZED (
			SELECT row_number() OVER () AS place, x.* FROM (SELECT tableoid, ctid, e <-> $1 AS distance, e FROM %s ORDER BY e <-> $1) AS x)
		SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT tableoid, ctid FROM scan) AS different),
			   count(*) FILTER (WHERE e IS NULL AND place <= (SELECT count(e) FROM scan)),
			   array_agg(distance ORDER BY place) = (SELECT array_agg(e <-> $1 ORDER BY (e <-> $1) + 0) FROM %s)
		FROM scan', t, t) INTO n_scan, n_different, early_null, same_order USING q;
	IF n_scan <> n OR n_different <> n THEN
		RETURN format('%s rows, scanned %s, different ones %s', n, n_scan, n_different);
	ELSIF early_null > 0 AND q IS NOT NULL THEN
		RETURN format('%s rows without a vector came too early', early_null);
	ELSIF as_sorted AND n > 0 AND NOT same_order THEN
		RETURN 'not in order';
	END IF;
	RETURN 'right';
END
$$;

-- The same for the first n queries of a table, both ways of scanning; the first
-- outcome that is not right.
CREATE FUNCTION whole_scans(t regclass, queries regclass, n int DEFAULT 3) RETURNS TABLE (exact text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
	q embedding;
BEGIN
	FOREACH exact IN ARRAY ARRAY['off', 'on']
	LOOP
		PERFORM set_config('lsh.exact', exact, true);
		outcome := 'no queries';
		FOR q IN EXECUTE format('SELECT e FROM %s ORDER BY id LIMIT %s', queries, n)
		LOOP
			outcome := whole_scan(t, q, exact = 'on');
			EXIT WHEN outcome <> 'right';
		END LOOP;
		RETURN NEXT;
	END LOOP;
	PERFORM set_config('lsh.exact', 'off', true);
END
$$;

-- Does the plan of a statement scan an index of access method lsh?
CREATE FUNCTION uses_lsh(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement
	LOOP
		IF line ~ 'Index Scan using .* on ' AND EXISTS (
				SELECT FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
				WHERE a.amname = 'lsh' AND c.relname = substring(line FROM 'Index Scan using (\w+) on ')) THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
