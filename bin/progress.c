#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* Milliseconds between two reports, and before the first: short work shows nothing. */
#define INTERVAL_MS 250
#define FIRST_MS 500

enum progress_mode progress_mode;

static struct {
	const char *command;
	bool line, json;
	int shown; /* columns of the line that is there now */
	int64_t started_ms, last_ms;
} state;

static volatile sig_atomic_t stop;

const char *option_progress(void *value, const char *argument)
{
	static const struct { const char *name; enum progress_mode mode; } modes[] = {
		{ "auto", PROGRESS_AUTO },
		{ "none", PROGRESS_NONE },
		{ "json", PROGRESS_JSON },
	};

	for (size_t i = 0; i < COUNT(modes); i++)
		if (strcmp(argument, modes[i].name) == 0) {
			*(enum progress_mode *)value = modes[i].mode;
			return NULL;
		}
	return "is not one of auto, none, json";
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void progress_clear(void)
{
	if (state.shown > 0)
		fprintf(stderr, "\r%*s\r", state.shown, "");
	state.shown = 0;
}

static void show_line(uint64_t done, uint64_t total, int64_t elapsed_ms)
{
	double rate = (double)done / (double)elapsed_ms; /* kB/s */
	uint64_t left = rate > 0 ? (uint64_t)((double)(total - done) / rate / 1000 + 0.5) : 0;
	char done_text[TEXT_HUMAN], total_text[TEXT_HUMAN], line[120];
	int len;

	len = snprintf(line, sizeof(line),
		       "%3.0f%%  %s of %s  %.0f MB/s  ETA %" PRIu64 ":%02" PRIu64,
		       (double)done * 100 / (double)total, text_human(done_text, done),
		       text_human(total_text, total), rate / 1000, left / 60, left % 60);
	/* Spaces over what was longer before. */
	fprintf(stderr, "\r%-*s", state.shown, line);
	fflush(stderr);
	state.shown = len > state.shown ? len : state.shown;
}

static void show_json(uint64_t done, uint64_t total, int64_t elapsed_ms)
{
	fprintf(stderr,
		"{\"version\": 1, \"command\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64
		", \"seconds\": %" PRId64 ".%03d}\n",
		state.command, done, total, elapsed_ms / 1000, (int)(elapsed_ms % 1000));
}

static int report(void *context, uint64_t done, uint64_t total)
{
	int64_t now = now_ms(), elapsed = now - state.started_ms;

	(void)context;
	if (stop)
		return 1;
	if (total == 0 || done > total)
		return 0;
	if (state.json && (done == total || now - state.last_ms >= INTERVAL_MS))
		show_json(done, total, elapsed);
	else if (state.line && elapsed >= FIRST_MS && now - state.last_ms >= INTERVAL_MS)
		show_line(done, total, elapsed);
	else
		return 0;
	state.last_ms = now;
	return 0;
}

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND }, old;

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < COUNT(numbers); i++)
		/* nohup(1) and shells that start jobs in the background ignore some. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

void progress_begin(struct lmodel_run *run, const char *command)
{
	run->progress = report;
	run->notice = message_from_library;
	state.command = command;
	state.json = progress_mode == PROGRESS_JSON;
	state.line = progress_mode == PROGRESS_AUTO && !message_quiet && isatty(STDERR_FILENO);
	state.started_ms = now_ms();
	catch_signals();
}

void progress_end(void)
{
	progress_clear();
	state.line = state.json = false;
}
