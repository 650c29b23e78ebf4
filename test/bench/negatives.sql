-- negatives.sql: the sampled negatives of the MovieLens benches, from bench.ratings.
-- draw_negatives(d) makes the table negatives_d (user_id, item_id), the same on every
-- run.
--
-- 99 items that the user never rated, for draw d: item numbers by a hash of user,
-- try and draw, rated and repeated ones rejected.  Tries enough for 160 unrated ones on
-- average: fewer than 99 would be five standard deviations off, and are an error.
CREATE PROCEDURE draw_negatives(d int) LANGUAGE plpgsql SET enable_mergejoin = off AS $$
BEGIN
	EXECUTE format($sql$
		CREATE UNLOGGED TABLE negatives_%1$s AS
		WITH items AS (
			SELECT item_id, row_number() OVER (ORDER BY item_id) - 1 AS n FROM ratings GROUP BY item_id
		), size AS (
			SELECT count(*) AS n FROM items
		), users AS (
			SELECT user_id, (160 / (1 - count(*)::float8 / (SELECT n FROM size)))::int AS tries
			FROM ratings GROUP BY user_id
		), drawn AS (
			SELECT user_id, (hashint8extended(user_id * 1000003::bigint + t, %1$s) & 9223372036854775807) %% (SELECT n FROM size) AS n, min(t) AS t
			FROM users, generate_series(1, tries) t GROUP BY 1, 2
		), kept AS (
			SELECT user_id, i.item_id, row_number() OVER (PARTITION BY user_id ORDER BY t) AS place
			FROM drawn JOIN items i USING (n)
			WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = drawn.user_id AND r.item_id = i.item_id)
		)
		SELECT user_id, item_id FROM kept WHERE place <= 99 $sql$, d);
	EXECUTE format($sql$
		DO $do$ BEGIN
			IF (SELECT count(*) <> 99 * (SELECT count(DISTINCT user_id) FROM ratings) FROM negatives_%1$s) THEN
				RAISE 'not every user has 99 negatives';
			END IF;
		END $do$ $sql$, d);
END $$;
