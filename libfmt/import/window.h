/* Reading the head of a file from front to back, through a window that moves along. */
#ifndef LM_WINDOW_H
#define LM_WINDOW_H

#include "base/base.h"

struct lm_window {
	int fd;                 /* borrowed */
	const char *label;
	uint64_t begin;         /* where it was started */
	uint64_t size;          /* of the file; or where reading ends */
	uint64_t at;            /* next byte to read */
	uint64_t window_at;
	size_t window_len;
	uint8_t window[65536];
};

void lm_window_start(struct lm_window *w, int fd, const char *label, uint64_t begin, uint64_t size);

/* ECORRUPT where the file ends before; ELIMIT more than LM_HEADER_LIMIT behind the start. */
int lm_window_take(struct lm_window *w, void *out, size_t len, struct lmodel_error *error)
	LM_MUST_CHECK;
int lm_window_u8(struct lm_window *w, uint8_t *out, struct lmodel_error *error) LM_MUST_CHECK;
int lm_window_u32(struct lm_window *w, uint32_t *out, struct lmodel_error *error) LM_MUST_CHECK;
int lm_window_u64(struct lm_window *w, uint64_t *out, struct lmodel_error *error) LM_MUST_CHECK;

/* Moves on without looking. */
int lm_window_skip(struct lm_window *w, uint64_t len, struct lmodel_error *error) LM_MUST_CHECK;

#endif
