/* A report in the making. */
#ifndef LM_AUDIT_REPORT_H
#define LM_AUDIT_REPORT_H

#include <lmodel/audit.h>

#include "archive/hidden.h"

struct lm_audit {
	struct lmodel_audit_report report; /* first: what the caller holds */
	const struct lmodel_archive *archive;
	struct lmodel_audit_tier *tiers;
	struct lmodel_audit_shard *shards;
	char **findings;
	size_t finding_count, finding_capacity;
};

/* Measures detection for all exact shards. */
int lm_audit_detect(struct lm_audit *audit, const struct lmodel_run *run,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
