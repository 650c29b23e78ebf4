/*
 * metricrec.h
 *		Limits that all of the extension shares.
 *
 * Plain C: no PostgreSQL header is needed, so that the trainer core may
 * include it too.
 */
#ifndef METRICREC_H
#define METRICREC_H

/* Coordinates of one embedding: an int16 on the wire, two pages on disk. */
#define MR_MAX_DIMENSIONS 16000

/* Coordinates that an lsh index can hold: two rows of a page, at least. */
#define MR_MAX_INDEX_DIMENSIONS 2000

/* Bytes of a model's name: "<name>_user_embedding_v999999" is one identifier. */
#define MR_MAX_MODEL_NAME 40

/* The most rows a query function returns. */
#define MR_MAX_K 1000000

#endif							/* METRICREC_H */
