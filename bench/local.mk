# Measuring, side by side with other tools. `bench-tools` builds what bench/run needs.
lm_bench_programs = %D%/timed
EXTRA_PROGRAMS += $(lm_bench_programs)
%C%_timed_LDADD =

bench-tools: all $(lm_bench_programs)
.PHONY: bench-tools
