/* What `lmodel audit` tells, as text, as JSON, as a bill of materials. */
#ifndef AUDIT_H
#define AUDIT_H

#include "json.h"

struct lmodel_archive;
struct lmodel_audit_change;
struct lmodel_audit_comparison;
struct lmodel_audit_report;
struct lmodel_tensor;

/* A comparison with another release; NULL where there is none. */
struct audit_against {
	const char *name;        /* of the other, as given */
	const struct lmodel_audit_comparison *sum;
	const struct lmodel_audit_change *changes;
	size_t change_count;
};

void audit_print(const struct lmodel_archive *archive, const char *path,
		 const struct lmodel_audit_report *report, const struct audit_against *against);
void audit_print_json(const struct lmodel_archive *archive,
		      const struct lmodel_audit_report *report,
		      const struct audit_against *against);

/* CycloneDX 1.6, to a file ("-": standard output); one that is there is replaced only with `force`.
 * Gives the exit status. */
int audit_cyclonedx(const struct lmodel_archive *archive, const char *path,
		    const struct lmodel_audit_report *report, const char *to, bool force);

enum positions_format { POSITIONS_RANGES, POSITIONS_NPY, POSITIONS_JSON };

/* Prints which units of a tensor are hidden, by `tier`, or (NULL) by those that the keys open.
 * Gives the exit status. */
int audit_positions(const struct lmodel_archive *archive, const char *path, const char *tensor,
		    const char *tier, enum positions_format format);

#endif
