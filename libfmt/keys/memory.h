/* What a client remembers of archives between runs: who the owner was, and how far it had got
 * (spec: 8.8). An old copy of an archive is valid in itself; only memory tells. */
#ifndef LM_MEMORY_H
#define LM_MEMORY_H

#include "keys/book.h"

struct lm_memory {
	bool known;
	uint8_t owner[32];
	uint64_t generation;     /* highest content generation that was proven */
	uint64_t book_counter;   /* highest that an owner has seen; 0: none */
};

/* What the directory has of this archive. A file that is malformed is ECORRUPT. */
int lm_memory_load(struct lm_memory *memory, const char *directory, const char *archive,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Makes the directory if need be. Never goes back behind what stands there of the same owner,
 * unless `back`. EFAILED. */
int lm_memory_store(const struct lm_memory *memory, bool back, const char *directory,
		    const char *archive, struct lmodel_error *error);

/* The owner's own book of detached grants, a sealed file at `path`: opened (empty when there is no
 * file), and written. ECORRUPT when it is not this owner's. */
int lm_grants_book_load(struct lm_book *book, const char *path, const char *archive,
			const uint8_t owner_key[LM_KEY], struct lmodel_error *error) LM_MUST_CHECK;
int lm_grants_book_store(const struct lm_book *book, const char *path, const char *archive,
			 const uint8_t owner_key[LM_KEY], struct lmodel_error *error) LM_MUST_CHECK;

/* Where it stands in a state directory; NULL when there is no memory. */
char *lm_grants_book_path(const char *directory, const char *archive, struct lmodel_error *error);

#endif
