#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void record(struct lmodel_error *error, enum lmodel_code code, int saved_errno,
		   const char *format, va_list args) LM_PRINTF(4, 0);

static void record(struct lmodel_error *error, enum lmodel_code code, int saved_errno,
		   const char *format, va_list args)
{
	if (error == NULL || error->code != LMODEL_OK)
		return;
	error->code = code;
	vsnprintf(error->message, sizeof(error->message), format, args);
	if (saved_errno != 0) {
		size_t used = strlen(error->message);
		char text[128];

		snprintf(error->message + used, sizeof(error->message) - used, ": %s",
			 strerror_r(saved_errno, text, sizeof(text)));
	}
}

int lm_fail(struct lmodel_error *error, enum lmodel_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	record(error, code, 0, format, args);
	va_end(args);
	return (int)code;
}

int lm_fail_errno(struct lmodel_error *error, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	record(error, LMODEL_EFAILED, saved, format, args);
	va_end(args);
	return LMODEL_EFAILED;
}

int lm_fail_memory(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED, "out of memory");
}
