#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <lmodel/run.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void lm_meter_begin(struct lm_meter *meter, const struct lmodel_run *run, uint64_t total)
{
	*meter = (struct lm_meter){ .run = run, .total = total };
}

int lm_meter_add(struct lm_meter *meter, uint64_t bytes, struct lmodel_error *error)
{
	int64_t now;

	meter->done += bytes;
	if (meter->run == NULL || meter->run->progress == NULL)
		return LMODEL_OK;
	now = now_ms();
	if (now - meter->last_ms < 100 && meter->done < meter->total)
		return LMODEL_OK;
	meter->last_ms = now;
	if (meter->run->progress(meter->run->context, meter->done, meter->total) != 0)
		return lm_fail(error, LMODEL_EFAILED, "interrupted");
	return LMODEL_OK;
}

void lm_notice(const struct lmodel_run *run, const char *format, ...)
{
	char line[LMODEL_MESSAGE_SIZE];
	va_list args;

	if (run == NULL || run->notice == NULL)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	run->notice(run->context, line);
}
