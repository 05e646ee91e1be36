/* Runs a command, or several joined by pipes, and says what it cost:
 *
 *     timed [-i IN] [-o OUT] [-s FILE]... RESULT COMMAND [ARGUMENT]... [::: COMMAND ...]...
 *
 * IN and OUT are standard input and output of the first and the last command (else /dev/null and
 * ours). The clock runs until each FILE, made by the commands, is on the disk. RESULT gets JSON.
 * Small on purpose: the peak of resident memory that wait4() tells counts what the child had before
 * it became the command, so a launcher must be smaller than anything that it measures. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS = 8, FILES = 8 };

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "timed: %s: %s\n", what, strerror(errno));
	exit(125);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0666);

	if (fd < 0)
		die(path);
	return fd;
}

static pid_t start(char **argv, int in, int out)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		die("dup2");
	execvp(argv[0], argv);
	fprintf(stderr, "timed: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void synchronise(const char *path)
{
	int fd = open_or_die(path, O_RDONLY);

	if (fsync(fd) != 0)
		die(path);
	close(fd);
}

/* Cuts argv at each ":::"; returns how many commands there are. */
static int divide(char **argv, char ***commands)
{
	int n = 1;

	commands[0] = argv;
	for (; *argv != NULL; argv++) {
		if (strcmp(*argv, ":::") != 0)
			continue;
		if (n == COMMANDS)
			die("too many commands");
		*argv = NULL;
		commands[n++] = argv + 1;
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *in_path = "/dev/null", *out_path = NULL, *sync[FILES];
	int option, syncs = 0, count, in, out;
	struct rusage usage[COMMANDS];
	int status[COMMANDS];
	pid_t pid[COMMANDS];
	char **commands[COMMANDS];
	double begin, ran, end;
	FILE *result;

	while ((option = getopt(argc, argv, "+i:o:s:")) != -1) {
		if (option == 'i')
			in_path = optarg;
		else if (option == 'o')
			out_path = optarg;
		else if (option == 's' && syncs < FILES)
			sync[syncs++] = optarg;
		else
			return 125;
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: timed [-i IN] [-o OUT] [-s FILE] RESULT COMMAND ...\n");
		return 125;
	}
	count = divide(argv + optind + 1, commands);
	begin = now();
	in = open_or_die(in_path, O_RDONLY);
	for (int i = 0; i < count; i++) {
		int pipes[2] = { -1, -1 };

		if (i + 1 < count && pipe2(pipes, O_CLOEXEC) != 0)
			die("pipe");
		if (i + 1 < count)
			out = pipes[1];
		else
			out = out_path != NULL ? open_or_die(out_path, O_WRONLY | O_CREAT | O_TRUNC)
					       : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		pid[i] = start(commands[i], in, out);
		close(in);
		close(out);
		in = pipes[0];
	}
	for (int i = 0; i < count; i++)
		if (wait4(pid[i], &status[i], 0, &usage[i]) < 0)
			die("wait4");
	ran = now();
	for (int i = 0; i < syncs; i++)
		synchronise(sync[i]);
	end = now();

	result = fopen(argv[optind], "w");
	if (result == NULL)
		die(argv[optind]);
	fprintf(result, "{\"wall\": %.9f, \"sync\": %.9f, \"commands\": [", end - begin, end - ran);
	for (int i = 0; i < count; i++)
		fprintf(result, "%s{\"status\": %d, \"user\": %.6f, \"system\": %.6f, \"peak\": %ld}",
			i > 0 ? ", " : "",
			WIFEXITED(status[i]) ? WEXITSTATUS(status[i]) : 128 + WTERMSIG(status[i]),
			seconds(usage[i].ru_utime), seconds(usage[i].ru_stime),
			usage[i].ru_maxrss * 1024);
	fprintf(result, "]}\n");
	if (fclose(result) != 0)
		die(argv[optind]);
	return 0;
}
