# sluice: how it is built, installed and tested.
#
#   make              builds the extension (needs a C++ compiler and PostgreSQL's server headers)
#   make install      installs it where that PostgreSQL looks for extensions
#   make demo         shows it at work on a cluster of its own
#   make check        runs all tests, each on a throw-away cluster
#   make bench        measures it beside what one would use instead
#   make bench-plot   draws the last measurement as test/bench/results.svg
#   make format       formats the C++ sources
#
# demo, check and bench first run test/setup, which installs what is missing (Debian), builds and installs.

EXTENSION := sluice
MODULE_big := sluice
VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" sluice.control 2>/dev/null)

# The C++ sources, src/NAME.cpp: what others stand on comes first.
ROOMS := bridge names naming catalog json_text value path mapping mapping_text document content coercion convert format foreign_key lineage_scope \
	leaf_buffer probe_walk keyed settle replaced writer lineage_tables lineage sequence seen arrival leaves plain_scan source expression row_expressions order stamp work_list arrival_index ledger compare \
	shape dictionary coverage infer ddl key key_plan shred_plan shred sample grow cursor sequence_cursor snapshot_cursor hash_start hash_pass hash_candidates hash_manage hash_cursor \
	datum_set partitions load_definition track back_off load_plan trigger_cursor \
	job errand cron pipeline rights chunk reject checks shred_work \
	pieces moment merge_patch deep deep_times merge_definition merge_plan fold merge_page merge_state merge_keeper merge_row fold_queue merge_delete merge_write merge_work create_merge \
	aggregate latest patch_fold merge_patch_agg field create_table \
	signed tally stage calendar facts_mapping newest facts_plan dimension references facts_row facts_write facts_definition \
	retention retention_table facts_work create_facts create_retention \
	load_work create_load late restore rewind_load \
	work switch_lineage targets rebuild_load rebuild create create_shred after alter argument definition grown apply preview position purge rewind trace add_arrival infer_entry outcome history run run_all schedule entry module

# The pieces of the install script, src/NAME.sql, in the order in which they run.
SQL_PIECES := catalog format content pipeline arrival infer \
	shred merge \
	run lineage position schedule status reject report grow latest merge_patch create_table \
	signed facts retention \
	track load back_off \
	definition

# The tests: sql/NAME.sql with expected/NAME.out, test/isolation/specs/NAME.spec with test/isolation/expected/NAME.out.
# test/check fails when a file is there that its list does not name.
REGRESS := \
	shred path types value format content mapping infer target error reject unknown preview writer key foreign_key pipeline \
	snapshot hash arrival position lineage purge rebuild objects catalog rights owner strangers trusted version run_all schedule_errors comments report \
	merge merge_rows merge_targets merge_pages merge_reject merge_stretches plain_scan expression deep \
	latest merge_patch create_table checks \
	signed facts facts_mapping measure dimension retention \
	load track partitions back_off \
	definition

ISOLATION := after definition facts foreign_key key lineage merge notify load rebuild run sequence sequence_orders sequence_partition sequence_prepared snapshot hash hash_arrival hash_stamp watch

REGRESS_OPTS := --inputdir=. --load-extension=sluice
ISOLATION_OPTS := --inputdir=test/isolation --load-extension=sluice

# PostgreSQL: PG_CONFIG, else the newest of Debian's that has server headers, else the pg_config in the PATH.
ifeq ($(strip $(PG_CONFIG)),)
PG_CONFIG := $(shell for p in $$(ls -dv /usr/lib/postgresql/*/bin/pg_config 2>/dev/null); do \
	[ -e "$$($$p --includedir-server)/postgres.h" ] && newest=$$p; done; echo $${newest:-pg_config})
unexport PG_CONFIG # chosen, not asked for
endif

INSTALL_SCRIPT_SQL := $(EXTENSION)--$(VERSION).sql
BUILD_PRODUCTS := src/*.o src/*.bc src/*.d src/.built-for $(MODULE_big).so lib$(MODULE_big).a lib$(MODULE_big).pc \
	$(INSTALL_SCRIPT_SQL) $(INSTALL_SCRIPT_SQL).part results output_iso regression.diffs regression.out

# Goals that must work before PostgreSQL is there, so they are no business of PGXS.
HOUSE_GOALS := setup demo check bench bench-plot format
.PHONY: $(HOUSE_GOALS)

ifneq ($(filter $(HOUSE_GOALS) print-%,$(MAKECMDGOALS)),)

setup:
	@test/setup
demo: setup
	@test/demo
check: setup
	@test/check
bench: setup
	@test/bench/run
	@test/bench/merge
	@test/bench/facts/run
	@test/bench/load
bench-plot:
	@test/bench/plot test/bench/results.tsv test/bench/results.svg
format:
	@command -v clang-format >/dev/null || { echo "make format needs clang-format (Debian: apt install clang-format)" >&2; exit 1; }
	clang-format -i $(wildcard src/*.cpp src/*.hpp src/*.h)

# make print-NAME: the scripts in test/ read the lists above through this.
print-%:
	@echo $($*)

# Other goals beside these get a make of their own, with PGXS.
.PHONY: all install uninstall installcheck clean
all install uninstall installcheck clean:
	@$(MAKE) --no-print-directory $@

else ifeq ($(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h),)

.PHONY: all install uninstall installcheck clean
all install uninstall installcheck:
	@echo "no PostgreSQL server headers found by $(PG_CONFIG): install postgresql-server-dev-NN, set PG_CONFIG, or run test/setup" >&2
	@exit 1
clean:
	rm -rf $(BUILD_PRODUCTS)

else

OBJS := $(ROOMS:%=src/%.o)
DATA := $(wildcard src/upgrade/$(EXTENSION)--*--*.sql)
DATA_built := $(INSTALL_SCRIPT_SQL)
EXTRA_CLEAN := $(BUILD_PRODUCTS)

# Server headers are system headers: they warn under -Wextra, and are not ours to mend.
PG_CXXFLAGS := -std=c++20 -O2 -fno-semantic-interposition -Wall -Wextra -MMD -MP -isystem $(shell $(PG_CONFIG) --includedir-server)
ifeq ($(WERROR),1)
PG_CXXFLAGS += -Werror
endif
SHLIB_LINK := -lstdc++
# The library works with tables of its own version alone. (PGXS has another VERSION.)
version_flag := -DSLUICE_VERSION='"$(VERSION)"'

# PGXS would compile everything a second time to LLVM bitcode, without PG_CXXFLAGS: C++20 fails there.
override with_llvm := no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Objects of another PostgreSQL or of other flags are built anew.
built_for := $(shell $(PG_CONFIG) --version) $(CXX) $(CXXFLAGS)
ifneq ($(built_for),$(shell cat src/.built-for 2>/dev/null))
$(shell mkdir -p src; echo '$(built_for)' > src/.built-for)
endif
$(OBJS): src/.built-for
# nlohmann/json's lexer works character by character: inlined to the full it reads 1.6 times as fast.
src/json_text.o: override CXXFLAGS += -O3 --param max-inline-insns-auto=200 --param inline-unit-growth=400 --param large-function-growth=1000
src/catalog.o: override CXXFLAGS += $(version_flag)
src/catalog.o: sluice.control
-include $(OBJS:.o=.d)

$(INSTALL_SCRIPT_SQL): $(SQL_PIECES:%=src/%.sql) sluice.control Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION sluice" to load this file. \quit'; \
	   for piece in $(SQL_PIECES); do echo; cat src/$$piece.sql || exit 1; done; } > $@.part
	@mv $@.part $@

endif
