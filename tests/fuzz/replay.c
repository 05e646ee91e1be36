/* main() of a fuzz target without libFuzzer: runs the target once on each file named, and on
 * each file of each directory named. So plain `make check` replays the corpus. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef LM_FUZZING
typedef int lm_no_main; /* libFuzzer brings it */
#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (file == NULL || fstat(fileno(file), &st) != 0) {
		perror(path);
		return 1;
	}
	data = malloc((size_t)st.st_size + 1);
	if (data == NULL)
		return 1;
	n = fread(data, 1, (size_t)st.st_size, file);
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

static int run_path(const char *path)
{
	struct stat st;
	DIR *directory;
	int failed = 0;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return run_file(path);
	directory = opendir(path);
	for (struct dirent *e; directory != NULL && (e = readdir(directory)) != NULL;) {
		char inner[4096];

		if (e->d_name[0] == '.' || strcmp(e->d_name, "README") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
		failed |= run_file(inner);
	}
	if (directory != NULL)
		closedir(directory);
	return failed || directory == NULL;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= run_path(argv[i]);
	return failed;
}
#endif
