/*
 * synthetic.c
 *		Made-up interactions of any size, the same bytes for the same arguments.
 *
 *		synthetic [name=value ...]		user <tab> item, one interaction a line
 *
 *		users=200000 items=50000 interactions=10000000
 *		clusters=250	groups of items, of unequal size (weights 1 / (rank + 10))
 *		factors=8		dimensions of the tastes inside a cluster
 *		popularity=0.8	an item's weight is (rank + 10) ^ -this
 *		activity=0.7	a user's number of items is shifted by (rank + 1) ^ -this
 *		least=5			the fewest items of a user; the most are a twentieth of all
 *		noise=0.15		share of the interactions that popularity alone decides
 *		sharpness=6		how much tastes decide inside a cluster
 *		spread=0.6		of the points around their cluster's centre
 *		seed=1
 *
 * How an interaction comes about.  Items and the interests of users are unit
 * vectors around the centres of the clusters; a user has one to four interests.
 * With probability `noise` the item is drawn by popularity from all.  Else the user
 * picks an interest q, an item v of its cluster is drawn by popularity, and is taken
 * with probability exp(sharpness (<q, v> - 1)), or another one is drawn.  An item that
 * the user has already is drawn anew, too; after TRIES draws the interaction is left
 * out, so there may be a few less than asked for.  So popularity, clusters and factors
 * all can be learned, and the noise cannot.
 *
 * Items are numbered in random order, so that no number tells how popular one is;
 * users are written in their order, each with its items in the order of the draws.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"

#define MAX_FACTORS 64
#define MAX_INTERESTS 4
#define TRIES 200

typedef struct Parameters
{
	double		users, items, interactions, clusters, factors, popularity, activity, least, noise, sharpness, spread, seed;
} Parameters;

/* A discrete distribution over n numbers, drawn by bisection. */
typedef struct Distribution
{
	int32_t		n;
	double	   *sum;			/* [n] running sums of the weights */
} Distribution;

typedef struct World
{
	Parameters	p;
	int			d;
	MrRng		rng;
	float	   *centre;			/* [clusters][d] */
	float	   *item;			/* [items][d] by rank of popularity */
	int32_t    *number;			/* [items] what an item is called */
	int32_t    *first;			/* [clusters + 1] where a cluster's items start in member */
	int32_t    *member;			/* [items] ranks of the items, cluster by cluster */
	Distribution *inside;		/* [clusters] over the members */
	Distribution all;			/* over the ranks */
	Distribution cluster;		/* by the weight of their items */
	int32_t    *owner;			/* [items] the last user who took it, -1 none */
} World;

static void *
get_memory(double count, size_t size)
{
	void	   *p = calloc((size_t) (count > 0 ? count : 1), size);

	if (p == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}

static void
parse(Parameters *p, int argc, char **argv)
{
	static const char *const names[] = {"users", "items", "interactions", "clusters", "factors", "popularity", "activity", "least",
	"noise", "sharpness", "spread", "seed"};
	double	   *values = (double *) p;

	*p = (Parameters) {200000, 50000, 10000000, 250, 8, 0.8, 0.7, 5, 0.15, 6, 0.6, 1};
	for (int i = 1; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');
		size_t		n = sizeof(names) / sizeof(names[0]);
		size_t		at = 0;

		while (value && at < n && (strlen(names[at]) != (size_t) (value - argv[i]) || strncmp(names[at], argv[i], value - argv[i]) != 0))
			at++;
		if (value == NULL || at == n)
		{
			fprintf(stderr, "not understood: %s\n", argv[i]);
			exit(1);
		}
		values[at] = strtod(value + 1, NULL);
	}
	if (!(p->users >= 1 && p->items >= 2 && p->items <= 1e8 && p->users <= 1e8 && p->clusters >= 1 && p->clusters <= p->items &&
		  p->factors >= 1 && p->factors <= MAX_FACTORS && p->least >= 1 && p->least <= p->items / 20 &&
		  p->interactions >= p->users * p->least && p->interactions <= p->users * p->items / 50))
	{
		fprintf(stderr, "the sizes do not go together\n");
		exit(1);
	}
}

/* ---- random things ---- */

static void
fill_distribution(Distribution *d)
{
	for (int32_t i = 1; i < d->n; i++)
		d->sum[i] += d->sum[i - 1];
}

static int32_t
draw(const Distribution *d, MrRng *rng)
{
	double		at = mr_rng_uniform(rng) * d->sum[d->n - 1];
	int32_t		low = 0;
	int32_t		high = d->n - 1;

	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (d->sum[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Standard normal (Box and Muller). */
static double
normal(MrRng *rng)
{
	double		radius = sqrt(-2 * log(1 - mr_rng_uniform(rng)));

	return radius * cos(6.283185307179586 * mr_rng_uniform(rng));
}

/* A unit vector around `centre` (NULL: anywhere), d long. */
static void
unit_vector(World *w, float *to, const float *centre)
{
	double		square = 0;

	for (int k = 0; k < w->d; k++)
	{
		double		x = centre ? centre[k] + w->p.spread * normal(&w->rng) / sqrt(w->d) : normal(&w->rng);

		to[k] = (float) x;
		square += x * x;
	}
	for (int k = 0; k < w->d; k++)
		to[k] /= (float) sqrt(square);
}

/* ---- the world ---- */

/* Clusters of the items: first, member, and the distributions. */
static void
sort_into_clusters(World *w, const int32_t *of)
{
	int32_t		n_clusters = (int32_t) w->p.clusters;
	int32_t		n = (int32_t) w->p.items;
	int32_t    *next;

	w->first = get_memory(n_clusters + 1, sizeof(int32_t));
	w->member = get_memory(n, sizeof(int32_t));
	w->inside = get_memory(n_clusters, sizeof(Distribution));
	next = get_memory(n_clusters, sizeof(int32_t));
	for (int32_t i = 0; i < n; i++)
		w->first[of[i] + 1]++;
	for (int32_t c = 0; c < n_clusters; c++)
		w->first[c + 1] += w->first[c];
	memcpy(next, w->first, n_clusters * sizeof(int32_t));
	for (int32_t i = 0; i < n; i++)
		w->member[next[of[i]]++] = i;
	w->cluster.n = n_clusters;
	w->cluster.sum = get_memory(n_clusters, sizeof(double));
	for (int32_t c = 0; c < n_clusters; c++)
	{
		Distribution *inside = &w->inside[c];

		inside->n = w->first[c + 1] - w->first[c];
		inside->sum = get_memory(inside->n, sizeof(double));
		for (int32_t m = 0; m < inside->n; m++)
			inside->sum[m] = pow(w->member[w->first[c] + m] + 10, -w->p.popularity);
		fill_distribution(inside);
		w->cluster.sum[c] = inside->n > 0 ? inside->sum[inside->n - 1] : 0;
	}
	fill_distribution(&w->cluster);
	free(next);
}

static void
make_world(World *w)
{
	int32_t		n = (int32_t) w->p.items;
	int32_t		n_clusters = (int32_t) w->p.clusters;
	Distribution size = {n_clusters, get_memory(n_clusters, sizeof(double))};
	int32_t    *of = get_memory(n, sizeof(int32_t));

	w->d = (int) w->p.factors;
	mr_rng_seed(&w->rng, (uint64_t) w->p.seed);
	w->centre = get_memory((double) n_clusters * w->d, sizeof(float));
	w->item = get_memory((double) n * w->d, sizeof(float));
	w->number = get_memory(n, sizeof(int32_t));
	w->owner = get_memory(n, sizeof(int32_t));
	for (int32_t c = 0; c < n_clusters; c++)
	{
		unit_vector(w, w->centre + (size_t) c * w->d, NULL);
		size.sum[c] = 1.0 / (c + 10);
	}
	fill_distribution(&size);
	w->all.n = n;
	w->all.sum = get_memory(n, sizeof(double));
	for (int32_t i = 0; i < n; i++)
	{
		of[i] = draw(&size, &w->rng);
		unit_vector(w, w->item + (size_t) i * w->d, w->centre + (size_t) of[i] * w->d);
		w->all.sum[i] = pow(i + 10, -w->p.popularity);
		w->number[i] = i;
		w->owner[i] = -1;
	}
	fill_distribution(&w->all);
	mr_rng_shuffle(&w->rng, (uint32_t *) w->number, (uint32_t) n);
	sort_into_clusters(w, of);
	free(of);
	free(size.sum);
}

/* Items of the user of this rank of activity, when all curves are stretched by `scale`. */
static int64_t
items_of(const Parameters *p, double rank, double scale)
{
	double		n = p->least + floor(scale * pow((rank + 1) / p->users, -p->activity));

	return (int64_t) (n > p->items / 20 ? p->items / 20 : n);
}

/* The scale with which all users together have so many interactions. */
static double
find_scale(const Parameters *p)
{
	double		low = 0;
	double		high = p->items;

	for (int round = 0; round < 60; round++)
	{
		double		middle = (low + high) / 2;
		double		sum = 0;

		for (double rank = 0; rank < p->users; rank++)
			sum += items_of(p, rank, middle);
		if (sum < p->interactions)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* ---- users ---- */

typedef struct User
{
	int			n;
	int32_t		cluster[MAX_INTERESTS];
	float		interest[MAX_INTERESTS][MAX_FACTORS];
} User;

static void
make_user(World *w, User *user)
{
	user->n = 1 + (int) mr_rng_below(&w->rng, MAX_INTERESTS);
	for (int i = 0; i < user->n; i++)
	{
		user->cluster[i] = draw(&w->cluster, &w->rng);
		unit_vector(w, user->interest[i], w->centre + (size_t) user->cluster[i] * w->d);
	}
}

/* One draw of an item, by its rank; -1: not to the user's taste. */
static int32_t
try_item(World *w, const User *user)
{
	const float *v;
	int			i;
	int32_t		item;
	double		dot = 0;

	if (mr_rng_uniform(&w->rng) < w->p.noise)
		return draw(&w->all, &w->rng);
	i = (int) mr_rng_below(&w->rng, user->n);
	item = w->member[w->first[user->cluster[i]] + draw(&w->inside[user->cluster[i]], &w->rng)];
	v = w->item + (size_t) item * w->d;
	for (int k = 0; k < w->d; k++)
		dot += user->interest[i][k] * v[k];
	return mr_rng_uniform(&w->rng) < exp(w->p.sharpness * (dot - 1)) ? item : -1;
}

int
main(int argc, char **argv)
{
	World		w = {0};
	double		scale;
	int64_t		written = 0;
	int64_t		carried = 0;
	uint32_t   *rank;

	parse(&w.p, argc, argv);
	make_world(&w);
	scale = find_scale(&w.p);
	rank = get_memory(w.p.users, sizeof(uint32_t));
	for (uint32_t u = 0; u < w.p.users; u++)
		rank[u] = u;
	mr_rng_shuffle(&w.rng, rank, (uint32_t) w.p.users);
	for (int32_t u = 0; u < w.p.users; u++)
	{
		User		user;
		int64_t		wanted = items_of(&w.p, rank[u], scale);

		make_user(&w, &user);
		for (int64_t n = 0; n < wanted; n++)
		{
			int32_t		item = -1;

			for (int tries = 0; tries < TRIES && (item < 0 || w.owner[item] == u); tries++)
				item = try_item(&w, &user);
			if (item < 0 || w.owner[item] == u)
			{
				carried++;
				continue;
			}
			w.owner[item] = u;
			printf("%d\t%d\n", u + 1, w.number[item] + 1);
			written++;
		}
	}
	fprintf(stderr, "%lld interactions, %lld not found\n", (long long) written, (long long) carried);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
