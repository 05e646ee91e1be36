/* A pull in the making. */
#ifndef LM_PULL_H
#define LM_PULL_H

#include <lmodel/registry.h>

#include "registry/assembly.h"
#include "registry/grants.h"

struct lm_pull {
	struct lmodel_pull_options options;
	struct lm_exchange exchange;
	struct lm_registry_manifest manifest;
	struct lm_image image;
	struct lm_assembly assembly;
	char *path;                    /* of the output, symbolic links followed */
	char *given;                   /* as the user says it */
	int lock;                      /* the file that is there, under its writer lock */
	struct lmodel_archive *old;    /* that file, when it is this archive; the assembly's */
	struct lm_output out;
	struct lmodel_archive *head;   /* what the first layer says */
	size_t level;                  /* that the keys open */
	struct lm_grant_found grant;
	bool keep_grant;
	struct lm_output grant_out;
	struct lmodel_error fault;     /* the first that verify found */
	struct lmodel_pull_report report;
};

/* pull_target.c: looks at what is there under the name of the output. EFAILED when it is something
 * else than this archive and may not be replaced. */
int lm_pull_open_target(struct lm_pull *pull, struct lmodel_error *error) LM_MUST_CHECK;

/* Whether that is newer than what the registry has. */
int lm_pull_check_rollback(const struct lm_pull *pull, struct lmodel_error *error) LM_MUST_CHECK;

int lm_pull_begin_output(struct lm_pull *pull, struct lmodel_error *error) LM_MUST_CHECK;

/* The grant beside the output: begun before anything long, published after the archive. */
int lm_pull_begin_grant(struct lm_pull *pull, struct lmodel_error *error) LM_MUST_CHECK;
int lm_pull_publish_grant(struct lm_pull *pull, struct lmodel_error *error) LM_MUST_CHECK;

#endif
