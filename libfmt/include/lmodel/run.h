/* What every long operation takes: threads, progress, notices. */
#ifndef LMODEL_RUN_H
#define LMODEL_RUN_H

#include <stdint.h>

/* Zero-initialised is a valid default: as many workers as there are processors, silent. */
struct lmodel_run {
	/* Worker threads; 0 means one a processor. Memory grows with them: about 8 chunks each. */
	unsigned jobs;

	/* Called from the calling thread, a few times a second at most, with raw bytes done and in
	 * all. Returning non-zero stops the operation with EFAILED "interrupted"; nothing is left
	 * behind. */
	int (*progress)(void *context, uint64_t done, uint64_t total);

	/* Called for what a user should know and is no failure ("skipped notes.txt"). One
	 * printable line without a newline. */
	void (*notice)(void *context, const char *message);

	void *context; /* passed to both */
};

#endif
