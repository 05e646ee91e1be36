/* Credential helpers: programs of other projects, run without a shell. The host goes to their
 * standard input, the secret comes from their standard output; nothing of either is in argv. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "crypto/secret.h"
#include "net/credentials.h"
#include "net/http.h"

extern char **environ;

enum { OUTPUT_LIMIT = 64 << 10, NAME_LIMIT = 64, TIMEOUT_MS = 60000,
       END_MS = 5000 };

/* It becomes a part of a program's name: a path, or an option, it must not become. */
static bool is_helper_name(const char *name)
{
	size_t len = strspn(name,
			    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len > 0 && len <= NAME_LIMIT && name[len] == '\0';
}

static int spawn(const char *program, int in, int out, pid_t *pid)
{
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"get", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		sigemptyset(&signals);
		r |= posix_spawnattr_setsigmask(&attributes, &signals);
		sigaddset(&signals, SIGPIPE);
		r |= posix_spawnattr_setsigdefault(&attributes, &signals);
		r |= posix_spawnattr_setflags(&attributes,
					      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
		r |= posix_spawn_file_actions_adddup2(&actions, in, 0);
		r |= posix_spawn_file_actions_adddup2(&actions, out, 1);
		r |= posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
		r = r != 0 ? ENOMEM : posix_spawnp(pid, program, &actions, &attributes, argv,
						   environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* All that it prints, until it closes its output. */
static int read_output(int fd, const char *program, char *output, size_t *len,
		       struct lmodel_error *error)
{
	int64_t end = lm_http_clock() + TIMEOUT_MS;

	*len = 0;
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int64_t left = end - lm_http_clock();
		ssize_t n;

		if (left <= 0)
			return lm_fail(error, LMODEL_EFAILED, "%s: no answer in %d seconds",
				       program,
				       TIMEOUT_MS / 1000);
		if (poll(&ready, 1, (int)left) < 0 && errno != EINTR)
			return lm_fail_errno(error, "%s", program);
		if (ready.revents == 0)
			continue;
		n = read(fd, output + *len, OUTPUT_LIMIT - *len);
		if (n == 0)
			return LMODEL_OK;
		if (n < 0 && errno != EINTR)
			return lm_fail_errno(error, "%s", program);
		*len += n < 0 ? 0 : (size_t)n;
		if (*len == OUTPUT_LIMIT)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: prints more than %d KiB",
				       program, OUTPUT_LIMIT >> 10);
	}
}

/* Its status. Who has closed his output has nothing more to do: a few seconds are enough. */
static int end(pid_t pid)
{
	int64_t until = lm_http_clock() + END_MS;
	const struct timespec slice = { .tv_nsec = 5000000 };
	int status = -1;
	pid_t ended;

	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && lm_http_clock() < until)
		nanosleep(&slice, NULL);
	if (ended != 0)
		return ended == pid ? status : -1;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static int talk(const char *program, const char *host, char *output, size_t *len, bool *failed,
		struct lmodel_error *error)
{
	int in[2], out[2], status, failure, r;
	pid_t pid;

	/* a socket, so that a helper that reads nothing brings no SIGPIPE */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0)
		return lm_fail_errno(error, "%s", program);
	if (pipe2(out, O_CLOEXEC) != 0) {
		r = lm_fail_errno(error, "%s", program);
		close(in[0]);
		close(in[1]);
		return r;
	}
	failure = spawn(program, in[0], out[1], &pid);
	close(in[0]);
	close(out[1]);
	errno = failure;
	if (failure != 0) {
		r = failure == ENOENT ?
		    lm_fail(error, LMODEL_EFAILED,
			    "%s is not installed, which docker's configuration asks for", program) :
		    lm_fail_errno(error, "%s", program);
		close(in[1]);
		close(out[0]);
		return r;
	}
	(void)!send(in[1], host, strlen(host), MSG_NOSIGNAL);
	close(in[1]);
	r = read_output(out[0], program, output, len, error);
	close(out[0]);
	if (r != LMODEL_OK)
		kill(pid, SIGKILL);
	status = end(pid);
	*failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return r;
}

int lm_helper_run(const char *name, const char *host, char **output, size_t *len, bool *failed,
		  struct lmodel_error *error)
{
	LM_FREE char *program = NULL;
	int r;

	*output = NULL;
	if (!is_helper_name(name))
		return lm_fail(error, LMODEL_ECORRUPT, "not a credential helper's name: %s",
			       LM_QUOTE(name));
	program = lm_format(error, "docker-credential-%s", name);
	if (program == NULL)
		return LMODEL_EFAILED;
	*output = lm_secret_alloc(OUTPUT_LIMIT + 1, error);
	if (*output == NULL)
		return LMODEL_EFAILED;
	r = talk(program, host, *output, len, failed, error);
	if (r != LMODEL_OK) {
		lm_secret_free(*output);
		*output = NULL;
	}
	return r;
}
