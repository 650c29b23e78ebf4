/*
 * knn.h
 *		Item-based nearest neighbours: a recommender without points, to compare others
 *		with.
 *
 * With R the interactions (weights as values, 1 unless given) and r_i its column of item i:
 *
 *		similarity(i, j) = r_i . r_j / (|r_i| |r_j| + shrinkage)
 *		score(u, j)		 = SUM of r_ui similarity(i, j) over the items i of u that are among the
 *						   `neighbours` most similar ones of j
 *
 * (Sarwar et al., WWW 2001; shrinkage as Bell and Koren, 2007.)  Of neighbours that are
 * equally similar the first rows are taken; similarity 0 is none.
 *
 *		knn = mr_knn_init(memory, mr_knn_bytes(x, neighbours), x, neighbours)
 *		mr_knn_build(knn, shrinkage, poll, arg)		time: SUM over users of n_u^2
 *		mr_knn_scores(knn, user, scores, ...)		as an MrScorer (ranking.h)
 */
#ifndef MR_KNN_H
#define MR_KNN_H

#include "model/trainer.h"

typedef struct MrKnn MrKnn;

/* knn.c */
extern size_t mr_knn_bytes(const MrInteractions *x, int32_t neighbours);
extern MrKnn *mr_knn_init(void *memory, size_t bytes, const MrInteractions *x, int32_t neighbours);
extern MrStatus mr_knn_build(MrKnn *knn, double shrinkage, MrPoll poll, void *arg);
extern MrStatus mr_knn_scores(void *knn, int32_t user, float *scores, MrPoll poll, void *arg);

#endif							/* MR_KNN_H */
