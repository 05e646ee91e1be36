# Measuring, side by side with other tools. `bench-tools` builds what bench/run needs.
lm_bench_programs = %D%/choose %D%/stages %D%/timed
EXTRA_PROGRAMS += $(lm_bench_programs)
%C%_choose_CPPFLAGS = $(lm_test_cppflags)
%C%_stages_CPPFLAGS = $(lm_test_cppflags)
%C%_timed_LDADD =

EXTRA_DIST += \
	%D%/README.md \
	%D%/counts \
	%D%/counts.json \
	%D%/lib \
	%D%/load.py \
	%D%/parts \
	%D%/peers \
	%D%/results \
	%D%/run

bench-tools: all $(lm_bench_programs)

# Instructions and system calls of a small fixed case against bench/counts.json.
check-counts: all
	/usr/bin/python3 $(srcdir)/%D%/counts --check --build '$(abs_top_builddir)'
.PHONY: bench-tools check-counts
