/* Progress of long work, and stopping it. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <lmodel/run.h>

#include "options.h"

enum progress_mode {
	PROGRESS_AUTO, /* a line on standard error when that is a terminal and not -q */
	PROGRESS_NONE,
	PROGRESS_JSON, /* lines of JSON on standard error (schema/progress.schema.json) */
};

extern enum progress_mode progress_mode;

option_set_fn option_progress;

/* Fills progress and notice of `run`. From here on SIGINT, SIGTERM and SIGHUP make the library
 * stop and clean up; a second one kills. `command` is for the JSON lines. */
void progress_begin(struct lmodel_run *run, const char *command);
void progress_end(void);

/* Takes the line away, so that something else can be printed. */
void progress_clear(void);

#endif
