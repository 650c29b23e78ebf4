/*
 * live.c
 *		A user's point by the version's user tower, from the live history and the
 *		features as they are now.
 *
 * The features are read by key, as the calling role.  As with the history, this is
 * an improvement: if they cannot be read, the stored point serves.  A value that
 * cannot be encoded is an error, as in a training.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "embed/embed.h"
#include "embed/live.h"
#include "math/gemm.h"

/* The user's row; false if it is not there, and then one without features. */
static bool
read_features(MrSideEmbedder *e, Oid relation, const MrLiveUser *user, MrFeatures *row)
{
	bool		found;

	e->pinned++;				/* a view or a policy of the relation may run our functions */
	PG_TRY();
	{
		found = mr_feature_row_of_key(e->encoder, relation, user->type, user->equals, user->id, row);
	}
	PG_FINALLY();
	{
		e->pinned--;
	}
	PG_END_TRY();
	return found;
}

/*
 * Makes a point [dimensions].
 *
 * user		NULL: somebody of whom only the history is known
 * history	[width] pooled points of the items, NULL: there are none
 *
 * The user is not NULL if the history is.
 */
MrLiveOutcome
mr_live_point(const MrModel *model, const MrVersion *version, const MrLiveUser *user, const float *history,
			  float *point)
{
	Oid			relation = mr_feature_relation(model, MR_SIDE_USER);
	MrSideEmbedder *e;
	MrFeatures	row;

	if (!OidIsValid(relation))
		return MR_LIVE_NO_TOWER;
	if (mr_gemm_load() != NULL)
		return MR_LIVE_UNREADABLE;
	e = mr_side_embedder(model, version, MR_SIDE_USER);
	/* a tower that does not look at the history has nothing to say without features */
	if (e == NULL || (user == NULL && e->shape.combination == MR_COMBINE_FEATURES))
		return MR_LIVE_NO_TOWER;
	if (user == NULL)
		mr_feature_row_empty(e->encoder, &row);
	else if (!mr_feature_readable(e->encoder, relation, user->type))
		return MR_LIVE_UNREADABLE;
	else if (!read_features(e, relation, user, &row) && history == NULL)
		return MR_LIVE_NO_FEATURES;
	mr_embedder_point(e->embedder, &row, 0, history, point);
	return MR_LIVE_POINT;
}
