# metricrec: build with PGXS.
#
#   make PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
#   make install
#   make installcheck        SQL, isolation and TAP tests against an installed server
#   make unit                C unit tests; need no server

EXTENSION = metricrec
MODULE_big = metricrec
DATA = $(sort $(wildcard sql/metricrec--*.sql))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
HEADERS = src/metricrec.h src/type/embedding.h

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --encoding=UTF8 --load-extension=metricrec
ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --encoding=UTF8 --load-extension=metricrec
TAP_TESTS = 1
PROVE_TESTS = $(sort $(wildcard test/t/*.pl))

# Folders are named in #include lines ("math/vecmath.h"), so that the include
# rules of src/README.md can be read off the source.
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS += -std=gnu11 -Wall -Wextra -Wvla -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = -lm -ldl

# Where the serial OpenBLAS lies; opened at the first training (src/math/gemm.c).
OPENBLAS ?= $(firstword $(wildcard /usr/lib/*/openblas-serial/libopenblas.so.0 /usr/lib64/libopenblas.so.0))

# C unit tests: test/unit/NAME_test.c becomes a program with the parts of src/
# that need no server.  Objects of their own, because flags differ:
#   make unit UNIT_CFLAGS='-O1 -g -fsanitize=address,undefined'
UNIT_CFLAGS ?= -O2 -g
UNIT_TESTS = $(patsubst %.c,%,$(sort $(wildcard test/unit/*_test.c)))
UNIT_OBJS = $(patsubst src/%.c,test/unit/obj/%.o,$(sort $(wildcard src/math/*.c src/model/*.c src/hash/*.c src/map/*.c src/util/rng.c)))
EXTRA_CLEAN = $(UNIT_TESTS) test/unit/obj

# make COVERAGE=1 counts which lines run (.ci/coverage.sh reads the counts).
ifdef COVERAGE
PG_CFLAGS += -Og --coverage
SHLIB_LINK += --coverage
UNIT_CFLAGS = -Og -g --coverage
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# After the include: PGXS has made CPPFLAGS of PG_CPPFLAGS by then.
src/math/gemm.o src/math/gemm.bc: override CPPFLAGS += -DMR_OPENBLAS='"$(OPENBLAS)"'

# What a session and its workers must agree in.
MR_VERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(srcdir)/metricrec.control)
src/parallel/workers.o src/parallel/workers.bc: override CPPFLAGS += -DMR_VERSION='"$(MR_VERSION)"'
src/parallel/workers.o src/parallel/workers.bc: metricrec.control

# The variants of codemath agree bit for bit only without fused multiply-add.
$(addprefix src/,math/codemath.o math/codemath_x86.o math/codemath_neon.o): override CFLAGS += -ffp-contract=off
$(addprefix test/unit/obj/,math/codemath.o math/codemath_x86.o math/codemath_neon.o): override UNIT_CFLAGS += -ffp-contract=off

# Every object depends on every header of ours: builds are short, and PGXS as
# packaged by distributions keeps no header dependencies.
$(OBJS): $(sort $(wildcard src/*.h src/*/*.h))

UNIT_COMPILE = $(CC) -std=gnu11 -Wall -Wextra -Wvla -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers $(UNIT_CFLAGS) -Isrc -Itest/unit -DMR_OPENBLAS='"$(OPENBLAS)"'

$(UNIT_OBJS): test/unit/obj/%.o: src/%.c $(sort $(wildcard src/*.h src/*/*.h))
	@mkdir -p $(@D)
	$(UNIT_COMPILE) -c -o $@ $<

$(UNIT_TESTS): %: %.c $(UNIT_OBJS) $(sort $(wildcard test/unit/*.h src/*.h src/*/*.h))
	$(UNIT_COMPILE) -o $@ $< $(UNIT_OBJS) -lm -ldl

.PHONY: unit
unit: $(UNIT_TESTS)
	prove $(PROVE_FLAGS) --exec '' $(UNIT_TESTS)
