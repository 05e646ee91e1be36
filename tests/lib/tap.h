/* Test Anything Protocol for unit tests: one header, no library.
 *
 *     int main(void)
 *     {
 *             ok(1 + 1 == 2, "addition");
 *             is_int(strlen("abc"), 3, "length");
 *             return done();
 *     }
 */
#ifndef TAP_H
#define TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused))
static int ok(int pass, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", pass ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	tap_failed += !pass;
	fflush(stdout);
	return pass;
}

__attribute__((unused))
static int is_int(intmax_t got, intmax_t wanted, const char *what)
{
	if (ok(got == wanted, "%s", what))
		return 1;
	printf("#   got %" PRIdMAX ", wanted %" PRIdMAX "\n", got, wanted);
	return 0;
}

__attribute__((unused))
static int is_str(const char *got, const char *wanted, const char *what)
{
	if (ok(got != NULL && strcmp(got, wanted) == 0, "%s", what))
		return 1;
	printf("#   got    %s\n#   wanted %s\n", got ? got : "(null)", wanted);
	return 0;
}

/* The message must have been set and contain `part`. */
#define is_error(error, wanted_code, part, what)                                               \
	do {                                                                                   \
		const struct lmodel_error *e_ = (error);                                       \
		if (!ok((int)e_->code == (int)(wanted_code) && strstr(e_->message, (part)), "%s", \
			(what)))                                                               \
			printf("#   got %d: %s\n#   wanted %d: ...%s...\n", (int)e_->code,      \
			       e_->message, (int)(wanted_code), (part));                       \
	} while (0)

__attribute__((unused))
static int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
