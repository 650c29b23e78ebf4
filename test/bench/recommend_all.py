# The peer of recommend_all.sh: lists by numpy's matrix products and argpartition.
#   recommend_all.py USERS ITEMS DIMENSIONS K
import sys
import time

import numpy

users, items, dimensions, k = map(int, sys.argv[1:5])
sample = min(users, 2048)
random = numpy.random.default_rng(1)
u = random.standard_normal((sample, dimensions), dtype=numpy.float32)
v = random.standard_normal((items, dimensions), dtype=numpy.float32)
half = (v * v).sum(axis=1) / 2
start = time.process_time()
for first in range(0, sample, 256):
    scores = u[first:first + 256] @ v.T
    scores -= half
    best = numpy.argpartition(scores, items - k, axis=1)[:, items - k:]
    best_scores = numpy.take_along_axis(scores, best, axis=1)
    order = numpy.argsort(-best_scores, axis=1)
    best = numpy.take_along_axis(best, order, axis=1)
seconds = (time.process_time() - start) * users / sample
print(f"numpy: {seconds:.2f} processor seconds, {users * items / seconds / 1e6:.0f} M pairs/s")
