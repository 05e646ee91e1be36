#include "passphrase.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

const char *option_fd(void *value, const char *argument)
{
	struct option_fd *fd = value;
	uint64_t n;

	if (!text_parse_count(argument, &n) || n > INT_MAX)
		return "is not the number of a file descriptor";
	fd->given = true;
	fd->number = (int)n;
	return NULL;
}

bool passphrase_has_source(const struct passphrase_source *source)
{
	return source->file != NULL || source->fd.given;
}

bool passphrase_from_stdin(const struct passphrase_source *source)
{
	return source->file != NULL ? strcmp(source->file, "-") == 0
				    : source->fd.given && source->fd.number == STDIN_FILENO;
}

void passphrase_wipe(struct passphrase *passphrase)
{
	explicit_bzero(passphrase, sizeof(*passphrase));
}

/* ---- files ---- */

static int read_all(int fd, const char *name, struct passphrase *p)
{
	ssize_t n;

	for (p->len = 0; p->len < sizeof(p->text); p->len += (size_t)n) {
		n = read(fd, p->text + p->len, sizeof(p->text) - p->len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0) {
			message_error("%s: %s", name, strerror(errno));
			return LMODEL_EFAILED;
		} else if (n == 0) {
			break;
		}
	}
	/* Editors and echo(1) end a file with a newline that nobody typed as a part of it. */
	if (p->len > 0 && p->text[p->len - 1] == '\n')
		p->len--;
	return LMODEL_OK;
}

static int read_source(const struct passphrase_source *source, struct passphrase *p)
{
	bool is_path = source->file != NULL && !passphrase_from_stdin(source);
	int fd = source->file != NULL ? STDIN_FILENO : source->fd.number, r;
	char *name;

	if (is_path)
		name = text_escape(source->file);
	else if (passphrase_from_stdin(source))
		name = text_format("standard input");
	else
		name = text_format("file descriptor %d", fd);
	if (is_path)
		fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		message_error("%s: %s", name, strerror(errno));
		r = LMODEL_EFAILED;
	} else {
		r = read_all(fd, name, p);
	}
	if (is_path && fd >= 0)
		close(fd);
	free(name);
	return r;
}

/* ---- the terminal ---- */

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

/* What the terminal and the signals were before. */
struct before {
	struct termios terminal;
	struct sigaction actions[COUNT(signals)];
	sigset_t mask;
};

/* Echo off. From here on the signals come only while read_line() waits, so that none can end
 * the program with the terminal as it is then. */
static bool begin(int tty, struct before *before)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct termios quiet;
	sigset_t blocked;

	caught = 0;
	sigemptyset(&blocked);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < COUNT(signals); i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &before->mask);
	for (size_t i = 0; i < COUNT(signals); i++) {
		sigaction(signals[i], NULL, &before->actions[i]);
		if (before->actions[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	quiet = before->terminal;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	/* What was typed before the question is not the answer. */
	return tcsetattr(tty, TCSAFLUSH, &quiet) == 0;
}

static void end(int tty, const struct before *before)
{
	tcsetattr(tty, TCSAFLUSH, &before->terminal);
	for (size_t i = 0; i < COUNT(signals); i++)
		sigaction(signals[i], &before->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

/* A line, without its end; false when there is none. */
static bool read_line(int tty, const sigset_t *mask, struct passphrase *p)
{
	struct pollfd wait = { .fd = tty, .events = POLLIN };
	ssize_t n;

	p->len = 0;
	while (p->len < sizeof(p->text)) {
		if (ppoll(&wait, 1, NULL, mask) < 0)
			return false;
		n = read(tty, p->text + p->len, sizeof(p->text) - p->len);
		if (n <= 0)
			return false;
		p->len += (size_t)n;
		if (p->text[p->len - 1] == '\n') {
			p->len--;
			return true;
		}
	}
	return true;
}

static void say(int tty, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	for (; len > 0; text += n, len -= (size_t)n)
		if ((n = write(tty, text, len)) <= 0)
			return;
}

/* Asks until there is an answer or none is to be had. */
static bool ask(int tty, const char *question, struct passphrase *p)
{
	struct before before;
	bool got;

	if (tcgetattr(tty, &before.terminal) != 0)
		return false;
	do {
		got = begin(tty, &before);
		if (got) {
			say(tty, question);
			got = read_line(tty, &before.mask, p);
			say(tty, "\n");
		}
		end(tty, &before);
		if (caught != 0)
			raise(caught);
	} while (caught == SIGTSTP); /* stopped and continued */
	return got && caught == 0;
}

static int ask_terminal(const char *what, bool is_new, struct passphrase *p)
{
	char *question = text_format("%c%s: ", toupper((unsigned char)what[0]), what + 1);
	struct passphrase again = { .len = 0 };
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), r = LMODEL_OK;

	if (tty < 0) {
		message_error("no terminal to ask for the %s: --passphrase-file or --passphrase-fd",
			      what);
		r = LMODEL_EFAILED;
	} else if (!ask(tty, question, p) ||
		   (is_new && p->len > 0 && !ask(tty, "The same again: ", &again))) {
		message_error("no %s was typed", what);
		r = LMODEL_EFAILED;
	} else if (is_new && p->len > 0 &&
		   (p->len != again.len || memcmp(p->text, again.text, p->len) != 0)) {
		message_error("the two passphrases differ");
		r = LMODEL_EUSAGE;
	}
	if (tty >= 0)
		close(tty);
	passphrase_wipe(&again);
	free(question);
	return r;
}

/* ---- */

int passphrase_get(const struct passphrase_source *source, const char *what, bool is_new,
		   struct passphrase *p)
{
	int r = passphrase_has_source(source) ? read_source(source, p)
					      : ask_terminal(what, is_new, p);

	if (r == LMODEL_OK && p->len == 0) {
		message_error("the %s is empty", what);
		r = LMODEL_EUSAGE;
	}
	if (r == LMODEL_OK && p->len > PASSPHRASE_MAX) {
		message_error("the %s is longer than %d bytes", what, PASSPHRASE_MAX);
		r = LMODEL_ELIMIT;
	}
	if (r != LMODEL_OK)
		passphrase_wipe(p);
	return r;
}
