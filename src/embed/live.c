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

typedef struct FeatureRequest
{
	Oid			relation;
	const MrLiveUser *user;
	MrFeatures	row;			/* without features if there is none */
	bool		found;
} FeatureRequest;

static void
read_features(MrSideEmbedder *e, void *arg)
{
	FeatureRequest *request = arg;
	const MrLiveUser *user = request->user;

	request->found = mr_feature_row_of_key(e->encoder, request->relation, user->type, user->equals, user->id,
										   &request->row);
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
	FeatureRequest request = {relation, user};
	MrSideEmbedder *e;

	if (!OidIsValid(relation))
		return MR_LIVE_NO_TOWER;
	if (mr_gemm_load() != NULL)
		return MR_LIVE_UNREADABLE;
	e = mr_side_embedder(model, version, MR_SIDE_USER);
	/* a tower that does not look at the history has nothing to say without features */
	if (e == NULL || (user == NULL && e->shape.combination == MR_COMBINE_FEATURES))
		return MR_LIVE_NO_TOWER;
	if (user == NULL)
		mr_feature_row_empty(e->encoder, &request.row);
	else if (!mr_feature_readable(e->encoder, relation, user->type))
		return MR_LIVE_UNREADABLE;
	else
	{
		mr_side_embedder_use(e, read_features, &request);
		if (!request.found && history == NULL)
			return MR_LIVE_NO_FEATURES;
	}
	mr_embedder_point(e->embedder, &request.row, 0, history, point);
	return MR_LIVE_POINT;
}
