/* Layer 0: what every other layer may use. Knows nothing of the format. */
#ifndef LM_BASE_H
#define LM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmodel/error.h>

#define LM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LM_MUST_CHECK __attribute__((warn_unused_result))

/* Releases a local on every way out of its scope. */
#define LM_CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void lm_free_cleanup(void *p)
{
	free(*(void **)p);
}

static inline void lm_close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define LM_FREE LM_CLEANUP(lm_free_cleanup)
#define LM_CLOSE LM_CLEANUP(lm_close_cleanup)

#define LM_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LM_MAX(a, b) ((a) > (b) ? (a) : (b))
#define LM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Overflow-checked arithmetic: true when the result fits. */
static inline bool lm_add(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

static inline bool lm_mul(uint64_t a, uint64_t b, uint64_t *product)
{
	return !__builtin_mul_overflow(a, b, product);
}

/* `n` rounded up to a multiple of the power of two `to`; the caller knows that it fits. */
static inline uint64_t lm_align(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* Little-endian fields in bytes of any alignment. So is the machine (configure.ac): a loop over the
 * bytes would not become one move. */
static inline void lm_put_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void lm_put_u64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t lm_get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t lm_get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Records `code` and the message in `error` (which may be NULL) unless it already holds a
 * failure; returns `code`. So: `return lm_fail(error, LMODEL_ECORRUPT, "...", ...);` */
int lm_fail(struct lmodel_error *error, enum lmodel_code code, const char *format, ...)
	LM_PRINTF(3, 4);

/* The same with ": strerror(errno)" at the end; code EFAILED. */
int lm_fail_errno(struct lmodel_error *error, const char *format, ...) LM_PRINTF(2, 3);

int lm_fail_memory(struct lmodel_error *error);

/* A name from outside, escaped and in quotes, for a message. The buffer lives as long as the
 * enclosing block: lm_fail(e, LMODEL_ECORRUPT, "tensor %s: ...", LM_QUOTE(name)). */
#define LM_QUOTE_SIZE 200
#define LM_QUOTE(text) lm_quote((char[LM_QUOTE_SIZE]){0}, (text))
const char *lm_quote(char *buffer, const char *text);

/* Grows `*array` (elements of `element` bytes) so that it holds `count + 1`; `*capacity` is
 * kept by the caller. */
int lm_grow(void *array, size_t count, size_t *capacity, size_t element,
	    struct lmodel_error *error) LM_MUST_CHECK;

/* printf into fresh memory; NULL (with the error set) when there is none. */
char *lm_format(struct lmodel_error *error, const char *format, ...) LM_PRINTF(2, 3);
char *lm_strdup(const char *text, struct lmodel_error *error);

/* Length of the valid UTF-8 sequence at `s` (1 to 4, never overlong, no surrogates, at most
 * U+10FFFF) within `len` bytes, its value in `*code_point`; 0 when there is none. */
size_t lm_utf8_next(const unsigned char *s, size_t len, uint32_t *code_point);
bool lm_utf8_valid(const char *text, size_t len);

/* The same, and no NUL within. */
bool lm_text_valid(const char *text, size_t len);

/* Whether `name` may become a path below a directory: relative, not empty, valid UTF-8 without
 * control characters, at most LM_PATH_LIMIT bytes, no part that is empty, ".", ".." or longer
 * than 255 bytes. */
#define LM_PATH_LIMIT 1024
bool lm_path_is_safe(const char *name);

void lm_hex(char *out, const uint8_t *bytes, size_t len); /* 2*len digits and a NUL */

/* Runs of work reported through struct lmodel_run. */
struct lmodel_run;

struct lm_meter {
	const struct lmodel_run *run;
	uint64_t done, total;
	int64_t last_ms;
};

void lm_meter_begin(struct lm_meter *meter, const struct lmodel_run *run, uint64_t total);

/* Adds `bytes`; calls the progress function at most ten times a second. EFAILED when it asked
 * to stop. */
int lm_meter_add(struct lm_meter *meter, uint64_t bytes, struct lmodel_error *error);

void lm_notice(const struct lmodel_run *run, const char *format, ...) LM_PRINTF(2, 3);

#endif
