/* lmodel keygen */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"

static const char *output;
static struct key_options existing; /* -y: one key file */
static const char *identity;

static const struct option_row options[] = {
	{ "output", 'o', "FILE", "write the identity to FILE, which must not exist", option_text,
	  &output },
	{ "recipients", 'y', "FILE", "make nothing: print the recipients of a key file",
	  option_text, &identity },
	OPTIONS_COMMON,
};

static void print_recipient(void *context, const char *recipient)
{
	(void)context;
	puts(recipient);
}

static int print_recipients(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	int r;

	option_list(&existing.identities, identity);
	r = keys_ring(&ring, &existing, false);
	if (r != LMODEL_OK)
		return r;
	if (lmodel_keyring_recipients(ring, print_recipient, NULL, &error) != LMODEL_OK)
		r = message_fail(&error);
	lmodel_keyring_free(ring);
	return r;
}

/* As age-keygen does: the shell made that file, with the permissions of any other. */
static void warn_of_readers(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0)
		message_notice("the secret key goes to a file that everybody can read; "
			       "-o makes one that is yours alone");
}

static int make(void)
{
	char recipient[LMODEL_RECIPIENT_SIZE] = "";
	struct lmodel_error error = LMODEL_ERROR_INIT;

	if (output == NULL)
		warn_of_readers();
	if (lmodel_keygen(output, recipient, &error) != LMODEL_OK)
		return message_fail(&error);
	/* On a terminal the identity itself has just said it. */
	if (!message_quiet && (output != NULL || !isatty(STDOUT_FILENO)))
		fprintf(stderr, "Public key: %s\n", recipient);
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	(void)count;
	(void)operands;
	if (identity != NULL && output != NULL)
		return message_usage(&cmd_keygen, "--recipients and --output exclude each other");
	return identity != NULL ? print_recipients() : make();
}

const struct cmd cmd_keygen = {
	.name = "keygen",
	.synopsis = "[-o FILE] [options]",
	.summary = "make a key: an age identity",
	.about =
	"Makes an age identity, as age-keygen does, on standard output or in FILE, and\n"
	"prints its recipient on standard error. The identity opens what is granted to\n"
	"the recipient: keep the one, hand out the other.\n",
	.options = options,
	.secrets = true,
	.least = 0,
	.most = 0,
	.run = run,
};
