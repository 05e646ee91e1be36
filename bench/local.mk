# Measuring, side by side with other tools. `bench-tools` builds what bench/run needs.
lm_bench_programs = %D%/choose %D%/stages %D%/timed
EXTRA_PROGRAMS += $(lm_bench_programs)
CLEANFILES += $(lm_bench_programs)
%C%_choose_CPPFLAGS = $(lm_test_cppflags)
%C%_stages_CPPFLAGS = $(lm_test_cppflags)
%C%_timed_LDADD =

EXTRA_DIST += \
	%D%/README.md \
	%D%/counts \
	%D%/counts.json \
	%D%/lib/__init__.py \
	%D%/lib/build.py \
	%D%/lib/context.py \
	%D%/lib/data.py \
	%D%/lib/fit.py \
	%D%/lib/machine.py \
	%D%/lib/measure.py \
	%D%/lib/peers.py \
	%D%/lib/picture.py \
	%D%/lib/reasons.py \
	%D%/lib/report.py \
	%D%/load.py \
	%D%/parts/__init__.py \
	%D%/parts/jobs.py \
	%D%/parts/load.py \
	%D%/parts/memory.py \
	%D%/parts/one.py \
	%D%/parts/protect.py \
	%D%/parts/scale.py \
	%D%/parts/select.py \
	%D%/parts/sizes.py \
	%D%/parts/speed.py \
	%D%/parts/stages.py \
	%D%/parts/start.py \
	%D%/peers/blosc2.c \
	%D%/peers/driver.c \
	%D%/peers/driver.h \
	%D%/peers/openzl.c \
	%D%/peers/openzl_model.c \
	%D%/peers/zipnn.py \
	%D%/results/results.json \
	%D%/results/results.md \
	%D%/results/results.png \
	%D%/results/results.svg \
	%D%/run

bench-tools: all $(lm_bench_programs)

# Instructions and system calls of a small fixed case against bench/counts.json.
check-counts: all
	/usr/bin/python3 $(srcdir)/%D%/counts --check --build '$(abs_top_builddir)'
.PHONY: bench-tools check-counts

clean-local: clean-bench
clean-bench:
	rm -rf bench-peers bench-results
.PHONY: clean-bench
