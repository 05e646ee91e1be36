/* Errors: one code, one sentence.
 *
 * Every function that can fail returns an `enum lmodel_code` (0 is success) and takes,
 * last, a `struct lmodel_error *` that may be NULL. On failure the struct holds the
 * code and a message that names the file, the record and the value. The message is
 * printable: names taken from files are escaped in it (see lmodel_escape()).
 * The first failure wins: a struct that already holds one is not overwritten, so reset it
 * (LMODEL_ERROR_INIT) before it is used again.
 *
 * The library never prints and never exits. */
#ifndef LMODEL_ERROR_H
#define LMODEL_ERROR_H

/* The numbers are also the exit statuses of lmodel(1), and never change. */
enum lmodel_code {
	LMODEL_OK = 0,

	/* The operating system said no: I/O, memory, space, permission, interrupted.
	 * Also whatever fits none of the others. Trying again may help. */
	LMODEL_EFAILED = 1,

	/* The request makes no sense: an unknown option value, a pattern or name that
	 * is not there to be asked for, a directory or FIFO where a file is meant. */
	LMODEL_EUSAGE = 2,

	/* None of the given keys opens what was asked for. */
	LMODEL_ENOKEY = 3,

	/* The input is malformed, truncated, damaged or not authentic. */
	LMODEL_ECORRUPT = 4,

	/* The input may be sound, but needs something this version does not know: a newer
	 * format, an unknown feature, an unknown dtype. Never returned for a damaged
	 * archive: integrity is checked before meaning. */
	LMODEL_EUNSUPPORTED = 5,

	/* The input is over a documented limit (spec: 9 "Limits"). */
	LMODEL_ELIMIT = 6,
};

#define LMODEL_MESSAGE_SIZE 1024

struct lmodel_error {
	enum lmodel_code code;
	char message[LMODEL_MESSAGE_SIZE]; /* one line, no newline, NUL-terminated */
};

#define LMODEL_ERROR_INIT { LMODEL_OK, "" }

#endif
