/* Protocol Buffers as they lie in a file: a walker over the fields of messages, which are ranges of
 * the file. It reads tags and small values, and goes past everything else. What the fields mean is
 * for the caller to say. */
#ifndef LM_WIRE_H
#define LM_WIRE_H

#include "base/base.h"

enum lm_wire_type { LM_WIRE_VARINT = 0, LM_WIRE_64 = 1, LM_WIRE_BYTES = 2, LM_WIRE_32 = 5 };

/* How deep messages may be nested in a file that is read; protobuf's own limit is 100. */
#define LM_WIRE_DEPTH 100u

struct lm_wire {
	int fd;                 /* borrowed */
	const char *label;
	uint64_t size;          /* of the file */
	uint64_t window_at;
	size_t window_len;
	uint8_t window[8192];
};

struct lm_wire_range {
	uint64_t begin, end;
};

struct lm_wire_field {
	uint32_t number;
	enum lm_wire_type type;
	uint64_t at;               /* where its tag begins */
	uint64_t value;            /* a varint's, or of 4 or 8 bytes, little-endian */
	struct lm_wire_range body; /* its bytes without tag and length */
};

void lm_wire_start(struct lm_wire *wire, int fd, const char *label, uint64_t size);

/* Reads the field at message->begin, and moves that behind it; to be called while there are bytes
 * left. ECORRUPT: cut short, beyond the message, a varint over 10 bytes or 64 bits, field number 0,
 * an undefined type. EUNSUPPORTED: a group. */
int lm_wire_next(struct lm_wire *wire, struct lm_wire_range *message, struct lm_wire_field *field,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* Reads one varint of a packed field in the same way. */
int lm_wire_varint(struct lm_wire *wire, struct lm_wire_range *range, uint64_t *value,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Reads a text of at most `most` bytes (ELIMIT), which is UTF-8 without NUL (ECORRUPT), into fresh
 * memory. `what` is for messages. */
int lm_wire_text(struct lm_wire *wire, struct lm_wire_range range, size_t most, const char *what,
		 char **text, struct lmodel_error *error) LM_MUST_CHECK;

#endif
