#include "samefile.h"

#include <string.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

int samefile_check(const struct cmd *cmd, const char *out, const char *const *paths, size_t count)
{
	struct stat a, b;

	if (out == NULL || strcmp(out, "-") == 0 || stat(out, &a) != 0 || S_ISDIR(a.st_mode))
		return LMODEL_OK;
	for (size_t i = 0; i < count; i++)
		if (paths[i] != NULL && stat(paths[i], &b) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino)
			return message_usage(cmd, "the output %s is the input %s", TEXT_QUOTE(out),
					     TEXT_QUOTE(paths[i]));
	return LMODEL_OK;
}
