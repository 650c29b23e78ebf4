/*
 * run_lock.c
 *		One training run per model, and how far it is.
 *
 * Both are heavyweight locks on the object (metricrec.model, model_id,
 * sub-number): the server frees them whatever happens to the run, and every
 * session sees them in pg_locks.  See store.h for the sub-numbers and the order.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/inval.h"

#include "store/version.h"
#include "util/pgutil.h"

#define SUB_ROW 0
#define SUB_RUN 1
#define SUB_PROGRESS 2

static void
set_tag(LOCKTAG *tag, Oid catalog, int32 model_id, int sub)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, catalog, (Oid) model_id, sub);
}

/*
 * Takes the run lock, for the transaction or for the session; false if another
 * session holds it.  Never waits.
 */
bool
mr_run_lock(MrRunLock *lock, int32 model_id, bool session)
{
	LOCKTAG		tag;

	lock->catalog = mr_catalog_relation("model");
	lock->model_id = model_id;
	lock->session = session;
	lock->step = 0;
	set_tag(&tag, lock->catalog, model_id, SUB_RUN);
	lock->held = LockAcquire(&tag, ExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
	AcceptInvalidationMessages();	/* what the holder before us has changed */
	return lock->held;
}

/* Shows `step` as the progress of the run; 0 takes the sign down. */
void
mr_run_progress(MrRunLock *lock, int step)
{
	LOCKTAG		tag;
	int			before = lock->step;

	step = Min(step, MR_RUN_PUBLISHING);
	if (step == before)
		return;
	if (step > 0)
	{
		set_tag(&tag, lock->catalog, lock->model_id, SUB_PROGRESS + step);
		(void) LockAcquire(&tag, ShareLock, lock->session, true);
	}
	lock->step = step;
	if (before > 0)
	{
		set_tag(&tag, lock->catalog, lock->model_id, SUB_PROGRESS + before);
		LockRelease(&tag, ShareLock, lock->session);
	}
}

/*
 * Gives everything back; after an error, the abort does it.  A run of one
 * transaction keeps everything until that ends: its version is not visible to
 * others before.
 */
void
mr_run_unlock(MrRunLock *lock)
{
	LOCKTAG		tag;

	if (!lock->held || !lock->session)
		return;
	mr_run_progress(lock, 0);
	set_tag(&tag, lock->catalog, lock->model_id, SUB_RUN);
	LockRelease(&tag, ExclusiveLock, true);
	lock->held = false;
}

/* Whoever changes a model's row holds this until the transaction ends. */
void
mr_model_row_lock(int32 model_id)
{
	LOCKTAG		tag;

	set_tag(&tag, mr_catalog_relation("model"), model_id, SUB_ROW);
	(void) LockAcquire(&tag, ShareUpdateExclusiveLock, false, false);
	AcceptInvalidationMessages();	/* what the holder before us has changed */
}
