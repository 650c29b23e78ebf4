#!/usr/bin/python3
"""peer_torch.py: Collaborative Metric Learning in torch, a peer for speed.sh.

    peer_torch.py TRAIN TEST NEGATIVES [name=value ...]

TRAIN, TEST and NEGATIVES are files of user and item, tab-separated, without a header
line: what is trained on, one held-out item per user, and the items that each is ranked
among.  The objective and its setting are those of the preset cml_released, or of
preset=cml_paper (Hsieh et al., WWW 2017):

    w [margin + |u - v|^2 - |u - k|^2]+ ,  k the nearest of 20 negatives that the user
    has no interaction with, w = log(floor(J M / 20) + 1), M of the 20 violating the
    margin of J items; AdaGrad, points clipped to the unit ball after every step;
    cml_paper: plus the covariance term.

Written for this comparison as one would write it in torch: whole batches, index
operations and autograd, negatives drawn for a batch at once and drawn again where they
are positives.  One thread unless threads=N.

Prints one line of JSON: seconds and triplets (positives x negatives) per second over
all epochs, hit rate and NDCG at 10 at the end; with floor=X also the seconds until the
hit rate reached it, looked at every `every` epochs outside the clock.

    epochs=30 dimensions=100 batch_size=50000 learning_rate=0.1 margin=1.9 negatives=20
    covariance=0 threads=1 seed=1 floor=0 every=1 preset=cml_released
"""
import json
import math
import sys
import time

import numpy
import torch

# Positives whose negatives are looked at together: their points stay in the cache.
PART = 512

PRESETS = {
    "cml_released": {"batch_size": 50000, "margin": 1.9, "covariance": 0.0},
    "cml_paper": {"batch_size": 1000, "margin": 0.5, "covariance": 10.0},
}
DEFAULTS = {"epochs": 30, "dimensions": 100, "learning_rate": 0.1, "negatives": 20, "threads": 1, "seed": 1,
            "floor": 0.0, "every": 1, "preset": "cml_released"}


def read_options(arguments):
    given = dict(a.split("=", 1) for a in arguments)
    options = dict(DEFAULTS, **PRESETS[given.get("preset", DEFAULTS["preset"])])
    for name, value in given.items():
        if name not in options:
            sys.exit("unknown option: " + name)
        options[name] = type(options[name])(value)
    return options


def read_pairs(path):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.int64, sep=" ").reshape(-1, 2))


def number(pairs_of_files):
    """Ids as numbers from 0, the same in all files."""
    for column in 0, 1:
        ids = torch.unique(torch.cat([pairs[:, column] for pairs in pairs_of_files]))
        for pairs in pairs_of_files:
            pairs[:, column] = torch.searchsorted(ids, pairs[:, column].contiguous())
        yield len(ids)


class Peer:
    def __init__(self, train, n_users, n_items, options):
        d = options["dimensions"]
        self.o = options
        self.train = train
        self.n_items = n_items
        self.likes = torch.zeros(n_users * n_items, dtype=torch.bool)
        self.likes[train[:, 0] * n_items + train[:, 1]] = True
        self.users = torch.nn.Parameter(torch.randn(n_users, d) / math.sqrt(d))
        self.items = torch.nn.Parameter(torch.randn(n_items, d) / math.sqrt(d))
        self.clip()
        self.optimizer = torch.optim.Adagrad([self.users, self.items], lr=options["learning_rate"],
                                             initial_accumulator_value=0.1)

    def clip(self):
        with torch.no_grad():
            for points in self.users, self.items:
                points /= points.norm(dim=1, keepdim=True).clamp(min=1)

    def draw(self, user):
        """[batch][negatives] items that the users do not like."""
        shape = (len(user), self.o["negatives"])
        drawn = torch.randint(self.n_items, shape)
        while True:
            again = self.likes[user[:, None] * self.n_items + drawn].nonzero(as_tuple=True)
            if len(again[0]) == 0:
                return drawn
            drawn[again] = torch.randint(self.n_items, (len(again[0]),))

    @torch.no_grad()
    def hardest(self, user, item, drawn):
        """The nearest of the negatives, and the weight by the rank."""
        u = self.users[user]
        near = ((u - self.items[item]) ** 2).sum(1)
        candidates = self.items[drawn]
        far = (u * u).sum(1)[:, None] - 2 * torch.bmm(candidates, u[:, :, None])[:, :, 0] + self.squares[drawn]
        impostors = (self.o["margin"] + near[:, None] > far).sum(1)
        return (drawn.gather(1, far.argmin(1, keepdim=True))[:, 0],
                torch.log(torch.floor(self.n_items * impostors / self.o["negatives"]) + 1))

    def covariance(self, u, v):
        x = torch.cat([u, v])
        c = (x - x.mean(0)).t() @ (x - x.mean(0)) / len(x)
        return self.o["covariance"] / len(x) * (c.norm() - (torch.diagonal(c) ** 2).sum())

    def step(self, batch):
        user, item = batch[:, 0], batch[:, 1]
        drawn = self.draw(user)
        self.squares = (self.items.detach() ** 2).sum(1)
        nearest, weight = zip(*(self.hardest(*part) for part in zip(user.split(PART), item.split(PART), drawn.split(PART))))
        nearest, weight = torch.cat(nearest), torch.cat(weight)
        u, v, k = self.users[user], self.items[item], self.items[nearest]
        hinge = (self.o["margin"] + ((u - v) ** 2).sum(1) - ((u - k) ** 2).sum(1)).clamp(min=0)
        loss = (weight * hinge).sum()
        if self.o["covariance"] > 0:
            loss = loss + self.covariance(u, v)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.clip()

    def epoch(self):
        order = torch.randperm(len(self.train))
        for first in range(0, len(order), self.o["batch_size"]):
            self.step(self.train[order[first:first + self.o["batch_size"]]])

    @torch.no_grad()
    def evaluate(self, test, negatives):
        """Ties count against the held-out item; users come in one order in both files."""
        per_user = len(negatives) // len(test)
        among = negatives[:, 1].reshape(len(test), per_user)
        u = self.users[test[:, 0]]
        own = ((u - self.items[test[:, 1]]) ** 2).sum(1, keepdim=True)
        rank = torch.zeros(len(test), dtype=torch.int64)
        for column in range(per_user):
            rank += ((u - self.items[among[:, column]]) ** 2).sum(1) <= own[:, 0]
        found = rank < 10
        return found.double().mean().item(), (found / torch.log2(rank.double() + 2)).mean().item()


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    options = read_options(sys.argv[4:])
    torch.set_num_threads(options["threads"])
    torch.manual_seed(options["seed"])
    files = [read_pairs(path) for path in sys.argv[1:4]]
    n_users, n_items = number(files)
    train = files[0]
    test, negatives = (pairs[pairs[:, 0].argsort(stable=True)] for pairs in files[1:])
    if len(negatives) % len(test) or not torch.equal(
            negatives[:, 0], test[:, 0].repeat_interleave(len(negatives) // len(test))):
        sys.exit("every user of the test file needs the same number of negatives")
    peer = Peer(train, n_users, n_items, options)
    clock = processor = 0.0
    reached = None
    for epoch in range(1, options["epochs"] + 1):
        started, used = time.perf_counter(), time.process_time()
        peer.epoch()
        clock += time.perf_counter() - started
        processor += time.process_time() - used
        if options["floor"] > 0 and reached is None and epoch % options["every"] == 0 and \
                peer.evaluate(test, negatives)[0] >= options["floor"]:
            reached = clock
    hit_rate, ndcg = peer.evaluate(test, negatives)
    print(json.dumps({"peer": "torch " + torch.__version__, "preset": options["preset"], "threads": options["threads"],
                      "epochs": options["epochs"], "seconds": round(clock, 2), "processor_seconds": round(processor, 2),
                      "seconds_per_epoch": round(clock / options["epochs"], 3),
                      "triplets_per_second": round(len(train) * options["negatives"] * options["epochs"] / clock),
                      "hit_rate_10": round(hit_rate, 4), "ndcg_10": round(ndcg, 4),
                      "seconds_to_floor": reached and round(reached, 2)}))


main()
