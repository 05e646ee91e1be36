/* Keys: who may open what.
 *
 * Customers keep the keys that they have: age identities (age-keygen), Ed25519 SSH keys,
 * passphrases. A key slot of an archive is an age file; so is a detached grant. What is opened
 * stays in locked memory, and is wiped when the keyring or the archive is closed.
 * Messages never hold a byte of a key. Every unlocking that fails gives the same message,
 * whatever the reason. */
#ifndef LMODEL_KEYS_H
#define LMODEL_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum lmodel_role {
	LMODEL_HOLDER = 0,  /* reads the weights of a tier and of those below it */
	LMODEL_AUDITOR = 1, /* sees which parameters are encrypted, in every tier, and no value */
	LMODEL_OWNER = 2,   /* reads all, and grants and revokes */
};

/* Someone to let in. */
struct lmodel_grantee {
	const char *recipient;   /* "age1..." or "ssh-ed25519 AAAA..."; NULL: by passphrase */
	const char *passphrase;  /* with recipient NULL */
	size_t passphrase_len;
	enum lmodel_role role;
	const char *tier;        /* holder: the highest tier; NULL for the other roles */
	const char *label;       /* for the owner's customer book, which is sealed; NULL: none */
};

/* A set of keys to open archives with: identities, detached grants, passphrases. */
struct lmodel_keyring;

int lmodel_keyring_new(struct lmodel_keyring **out, struct lmodel_error *error);
void lmodel_keyring_free(struct lmodel_keyring *ring); /* wipes; NULL is allowed */

/* Where to get the passphrase of an encrypted identity file from: writes at most `size` bytes
 * without a NUL, gives their number, or a negative one when there is none. `what` is printable. */
typedef long lmodel_passphrase_fn(void *context, const char *what, char *buffer, size_t size);
void lmodel_keyring_ask(struct lmodel_keyring *ring, lmodel_passphrase_fn *ask, void *context);

/* Adds what the file holds: age identities (plain, or encrypted with a passphrase), an OpenSSH
 * Ed25519 private key, or a detached grant. "-" is standard input.
 * Errors: EFAILED, ECORRUPT (not a key file), EUNSUPPORTED (an encrypted SSH key, another kind of
 * key), ENOKEY (no or a wrong passphrase), ELIMIT (over 1 MiB). */
int lmodel_keyring_add_file(struct lmodel_keyring *ring, const char *path,
			    struct lmodel_error *error);

/* Adds a passphrase, for passphrase slots. */
int lmodel_keyring_add_passphrase(struct lmodel_keyring *ring, const char *passphrase, size_t len,
				  struct lmodel_error *error);

/* Remembers archives in this directory, a file each: the owner and the highest content generation
 * that lmodel_unlock() has proven, and for owners how far the customer book had got. From then on
 * an archive with another owner, or older than what was seen, is refused (ECORRUPT) unless
 * `allow_rollback`. The directory is made when it is missing; where nothing can be written, nothing
 * is remembered. */
int lmodel_keyring_remember(struct lmodel_keyring *ring, const char *directory, bool allow_rollback,
			    struct lmodel_error *error);

/* Makes an age X25519 identity. The file (mode 0600, never overwritten) has age-keygen's form;
 * `path` NULL or "-": standard output. Its recipient goes to `recipient` (NUL-terminated). */
#define LMODEL_RECIPIENT_SIZE 128
int lmodel_keygen(const char *path, char recipient[LMODEL_RECIPIENT_SIZE],
		  struct lmodel_error *error);

/* Calls `each` with the recipient of every identity in the ring, as text. Passphrases have none. */
int lmodel_keyring_recipients(const struct lmodel_keyring *ring,
			      void (*each)(void *context, const char *recipient), void *context,
			      struct lmodel_error *error);

/* ---- opening ---- */

/* A tier of an archive, lowest first. */
struct lmodel_tier {
	const char *name;
	const char *select;           /* "pss", "magnitude", "random", "all", "reference" */
	const char *mask;             /* "dprm", "zero", "reference", "deep-lock", "perturb" */
	const char *unit;             /* "element", ..., or "default": by each tensor's rank */
	const char *scope;            /* "equal", "model", "layer" */
	const char *amount;           /* as declared: "4%", "1000" */
	unsigned long long generation;
	unsigned long long stored_bytes; /* ciphertext */
	size_t tensor_count;          /* tensors with a shard in it */
	bool recoverable;             /* its mask is obfuscation, recoverable without a key:
	                                 what it covers counts as public */
	bool absent;                  /* its shards are not in this file */
	bool open;                    /* its values can be read with the keys given */
	bool positions_open;          /* its positions can */
	size_t attachment_count;      /* side files in it */
};

size_t lmodel_tier_count(const struct lmodel_archive *archive);
const struct lmodel_tier *lmodel_tier_at(const struct lmodel_archive *archive, size_t index);

/* What a tier hides of a tensor, as far as it shows without a key. */
struct lmodel_shard {
	const char *tensor;
	const char *tier;
	const char *unit;
	unsigned long long stored_bytes;
	unsigned long long most_bytes; /* at most so many bytes of the tensor:
	                                  from the padded length */
	bool recoverable;             /* as of its tier */
};
size_t lmodel_shard_count(const struct lmodel_archive *archive);
int lmodel_shard_at(const struct lmodel_archive *archive, size_t index, struct lmodel_shard *shard);

/* A key slot, as it shows without a key; with an owner's key, also whose it is. */
struct lmodel_slot {
	unsigned id;                  /* stays while the slot is there */
	const char *kind;             /* "X25519", "ssh-ed25519", "passphrase" */
	bool known;                   /* the rest comes from the owner's customer book */
	enum lmodel_role role;
	const char *tier;             /* NULL unless a holder */
	const char *label;            /* NULL: none */
	const char *recipient;        /* NULL: passphrase */
};
size_t lmodel_slot_count(const struct lmodel_archive *archive);
const struct lmodel_slot *lmodel_slot_at(const struct lmodel_archive *archive, size_t index);

/* Opens what the keys open, and proves the archive with it: for each tier the key is checked
 * against its public commitment, and the statement's MAC under that key against all rows. From then
 * on tensors are read at the highest tier up to which all are open.
 *
 * Errors: ENOKEY: none of the keys opens anything here (one message, whatever the reason), or
 * only a grant of an earlier generation does; ECORRUPT: a key is right and the archive is not
 * what was packed.
 * An archive without tiers is ENOKEY: it may be a forgery of one that had them. */
int lmodel_unlock(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
		  struct lmodel_error *error);

/* At which tier tensors are read from now on. `name` NULL: the base. ENOKEY when it or one
 * below it is not open; ECORRUPT when its shards are absent; EUSAGE when there is no such tier. */
int lmodel_use_tier(struct lmodel_archive *archive, const char *name, struct lmodel_error *error);
/* The highest tier that is both open and present, which may be none: the base. */
void lmodel_use_highest_present(struct lmodel_archive *archive);
/* The tier in force: NULL for the base. */
const struct lmodel_tier *lmodel_tier_in_use(const struct lmodel_archive *archive);

/* ---- changing who may ---- */

struct lmodel_grant_options {
	size_t size;                 /* sizeof(struct lmodel_grant_options) */
	const char *detached;        /* write an armored grant to this file ("-": standard
	                                output) instead of a slot; the archive stays as it is;
	                                one grantee with a recipient */
	bool overwrite;              /* for a `detached` that exists */
	const char *book;            /* detached: the owner's book of such grants, a sealed
	                                file; NULL: in the directory of
	                                lmodel_keyring_remember(), or none */
	void (*notice)(void *context, const char *message);
	void *context;
	char **text;                 /* takes such a grant as text, in fresh memory (free() it), with
	                                `detached` or without; NULL: nobody does */
};
#define LMODEL_GRANT_OPTIONS_INIT { .size = sizeof(struct lmodel_grant_options) }

/* Lets in. Needs an owner's key in the ring. Reads and writes the manifest alone, in place, and
 * whatever happens the old or the new state is in force. `slots`, if not NULL, takes the new
 * slots' ids.
 * Errors: ENOKEY (no owner's key), EUSAGE (bad recipient, no such tier, no tier for a holder),
 * ECORRUPT, ELIMIT (no room: repack). */
int lmodel_grant(const char *archive, const struct lmodel_keyring *ring,
		 const struct lmodel_grantee *grantees, size_t count,
		 const struct lmodel_grant_options *options, unsigned *slots,
		 struct lmodel_error *error);

/* Which slots to remove: by id, by label, or by recipient; just one is set. */
struct lmodel_revocation {
	unsigned slot;               /* 0: not by id; ids begin at 1 */
	const char *label;
	const char *recipient;
};

struct lmodel_revoke_options {
	size_t size;                 /* sizeof(struct lmodel_revoke_options) */
	const char *book;            /* as in struct lmodel_grant_options: detached grants
	                                are looked up, too */
	struct lmodel_run run;       /* notices */
};
#define LMODEL_REVOKE_OPTIONS_INIT { .size = sizeof(struct lmodel_revoke_options) }

/* Takes out. The slots' bytes are nowhere in the file afterwards. Whoever has an older copy of the
 * file, or the weights, keeps them. EUSAGE when nothing matches, or the last owner would go.
 * A detached grant is not in the file: taking it out works with the next lmodel_rekey(), which is
 * told. `*removed` is the number of slots and detached grants removed. */
int lmodel_revoke(const char *archive, const struct lmodel_keyring *ring,
		  const struct lmodel_revocation *revocations, size_t count,
		  const struct lmodel_revoke_options *options, size_t *removed,
		  struct lmodel_error *error);

struct lmodel_rekey_options {
	size_t size;                 /* sizeof(struct lmodel_rekey_options) */
	struct lmodel_run run;       /* notices: also whom to send which new grant */
	const char *grants;          /* directory for new detached grants; NULL: none are made */
	const char *book;            /* as in struct lmodel_grant_options */
	const char *sign_key;        /* where the archive is signed: a key file
	                                as for lmodel_sign() */
	bool unsigned_after;         /* or: signatures go, none is made. One of
	                                both is needed then */
};
#define LMODEL_REKEY_OPTIONS_INIT { .size = sizeof(struct lmodel_rekey_options) }

/* New keys for these tiers (`count` 0: all that somebody who was revoked could open): their shards
 * are encrypted anew and appended, everybody who stays gets a new grant in his slot without being
 * asked, the old shards are zeroed. Slots that are not in the customer book are left out. The
 * content generation rises by one; detached grants of these tiers are outdated. Costs what the
 * tiers' shards are long. Whatever happens the old or the new state is in force, both whole.
 * Errors: as lmodel_grant(); EUSAGE: nothing to do, no such tier, its shards are absent. */
int lmodel_rekey(const char *archive, const struct lmodel_keyring *ring, const char *const *tiers,
		 size_t count, const struct lmodel_rekey_options *options,
		 struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
