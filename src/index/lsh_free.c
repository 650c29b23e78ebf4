/*
 * lsh_free.c
 *		Pages that are not used any more, and where new ones come from.
 *
 * A page that is deleted waits, as it was but empty, until no transaction that
 * may have read a link to it runs any more.  It is in the free space map all the
 * while.
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "index/lsh_page.h"

/* Entries of the free space map: of pages to use, and of pages to use later. */
#define SPACE_NOW (BLCKSZ - 1)
#define SPACE_LATER (BLCKSZ / 4)

/* ---- deleted pages ---- */

/* Whoever read a link to the page before now may still come along. */
void
mr_lsh_page_delete(Page page)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);

	Assert(opaque->n == 0);
	opaque->kind = MR_LSH_DELETED;
	opaque->deleted_at = ReadNextFullTransactionId();
	((PageHeader) page)->pd_lower = MAXALIGN(SizeOfPageHeaderData);
}

/* Is the page, whatever it may be, one that was deleted? */
bool
mr_lsh_page_deleted(Page page)
{
	const MrLshLayout none = {0};

	return mr_lsh_page_fault(&none, page, MR_LSH_DELETED) == NULL;
}

/*
 * A block that was allocated, and then the server crashed before the page was
 * linked to, is new.
 */
bool
mr_lsh_page_recyclable(Page page)
{
	if (PageIsNew(page))
		return true;
	return mr_lsh_page_deleted(page) && GlobalVisCheckRemovableFullXid(NULL, mr_lsh_opaque(page)->deleted_at);
}

/* ---- the free space map ---- */

/*
 * Enters an unused page in the free space map.  The map has room for a number
 * per page: pages that it is too early to use again are entered with a smaller
 * one, so that they are not found before the others.
 */
void
mr_lsh_page_offer(Relation index, BlockNumber block, bool recyclable)
{
	RecordPageWithFreeSpace(index, block, recyclable ? SPACE_NOW : SPACE_LATER);
}

/*
 * A page from the free space map that has at least so much space there, locked;
 * InvalidBuffer if there is none that may be used.  The map is a hint: somebody
 * may use the page, or wait for it, already.  Pages of about one age are too early
 * together, so that the search ends at the first of them.
 */
static Buffer
allocate_free(Relation index, Size space)
{
	for (;;)
	{
		BlockNumber block = GetPageWithFreeSpace(index, space);
		Buffer		buffer;
		bool		early = false;

		if (block == InvalidBlockNumber)
			return InvalidBuffer;
		buffer = ReadBuffer(index, block);
		if (ConditionalLockBuffer(buffer))
		{
			Page		page = BufferGetPage(buffer);

			if (mr_lsh_page_recyclable(page))
			{
				RecordUsedIndexPage(index, block);
				return buffer;
			}
			early = mr_lsh_page_deleted(page);
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
		if (early && space <= SPACE_LATER)
			return InvalidBuffer;
		if (early)
			mr_lsh_page_offer(index, block, false);
		else
			RecordUsedIndexPage(index, block);
	}
}

/* A page from the map, else the relation grows by one. */
Buffer
mr_lsh_allocate(Relation index, uint32 *birth)
{
	Buffer		buffer = allocate_free(index, SPACE_NOW / 2);
	bool		locked = !RELATION_IS_LOCAL(index);

	*birth = 1;
	/* pages of the last VACUUM */
	if (!BufferIsValid(buffer))
		buffer = allocate_free(index, SPACE_LATER / 2);
	if (BufferIsValid(buffer))
	{
		Page		page = BufferGetPage(buffer);

		if (!PageIsNew(page))
			*birth = mr_lsh_opaque(page)->birth + 1;
		return buffer;
	}
	if (locked)
		LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBuffer(index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (locked)
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
}
