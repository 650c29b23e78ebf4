-- parts.sql: the parts of the two sets that two_stage.sh and diversity.sh use, from
-- bench.ratings: train_part, held_part, for citeulike-t valid_part; for MovieLens-1M also
-- negatives_1.  Variables: set (movielens, citeulike), part (validation, test); sets
-- movielens and test.
SELECT :'set' = 'movielens' AS movielens, :'part' = 'test' AS test \gset
\if :movielens
SELECT * FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq') \g /dev/null
\if :test
ALTER TABLE ratings_train RENAME TO train_part;
ALTER TABLE ratings_test RENAME TO held_part;
\else
ALTER TABLE ratings_train RENAME TO known;
SELECT * FROM metricrec.split('known', 'leave_last_out', time_column => 'seq', train => 'train_part', test => 'held_part') \g /dev/null
\endif
\ir negatives.sql
CALL draw_negatives(1);
ANALYZE negatives_1;
\else
CREATE TABLE eligible AS
SELECT user_id, item_id FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM (SELECT DISTINCT user_id, item_id FROM ratings) d) c
WHERE n >= 5;
SELECT * FROM metricrec.split('eligible', 'random', fraction => 0.2, seed => 1, train => 'rest', test => 'test_part') \g /dev/null
SELECT * FROM metricrec.split('rest', 'random', fraction => 0.25, seed => 2, train => 'train_part', test => 'valid_part') \g /dev/null
\if :test
ALTER TABLE test_part RENAME TO held_part;
\else
ALTER TABLE valid_part RENAME TO held_part;
\endif
\endif
CREATE INDEX ON train_part (user_id);
VACUUM ANALYZE;
