#include "archive/bundle.h"

enum {
	/* Raw bytes of a member that is not worth a header and padding of its own, some 768 bytes. */
	SMALL = 256 << 10,
	/* Raw bytes of all that are joined to one. */
	MOST = 1 << 20,
};

/* Skeletons, attachments and tensors each have a folder in the tar. */
static bool same_folder(const char *a, const char *b)
{
	size_t len = strcspn(a, "/");

	return strncmp(a, b, len + 1) == 0;
}

void lm_bundle_members(struct lm_manifest *m)
{
	uint64_t joined = 0;

	for (size_t i = 1; i < m->member_count; i++) {
		struct lm_member *b = &m->members[i];

		if (b->bytes > SMALL || joined + b->bytes > MOST || !same_folder(b->path, b[-1].path)) {
			joined = 0;
			continue;
		}
		joined += b->bytes;
		free(b->path);
		b->path = b[-1].path;
		b->joined = true;
	}
}
