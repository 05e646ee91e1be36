/* lmodel keygen */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "text.h"

#define ENOUGH_BITS 80

static const char *output;
static struct key_options existing; /* -y: one key file */
static const char *identity;
static const char *transform;
static uint64_t block, channels;

static const char *option_number(void *value, const char *argument)
{
	if (!text_parse_count(argument, value) || *(uint64_t *)value == 0 ||
	    *(uint64_t *)value > UINT32_MAX)
		return "is not a number";
	return NULL;
}

static const struct option_row options[] = {
	{ "output", 'o', "FILE", "write the key to FILE, which must not exist", option_text,
	  &output },
	{ "recipients", 'y', "FILE", "make nothing: print the recipients of a key file",
	  option_text, &identity },
	{ "transform", 0, "METHOD", "a key for images instead: shf, np or ffx", option_text,
	  &transform },
	{ "block", 0, "PIXELS", "a side of the blocks that the images are cut into", option_number,
	  &block },
	{ "channels", 0, "N", "samples a pixel; 3 unless given", option_number, &channels },
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

/* What is drawn from 256 bits does not help where there are few things to choose from. */
static void warn_of_few(const struct lmodel_transform_info *info)
{
	if (info->bits < ENOUGH_BITS)
		message_notice("%s with blocks of %u x %u pixels has 2^%.0f keys alone: who has the "
			       "model can try them", info->method, info->block, info->block,
			       info->bits);
}

static int make_transform(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_transform *t;
	int r;

	if (output == NULL)
		warn_of_readers();
	r = lmodel_transform_new(&t, transform, (unsigned)block,
				 channels == 0 ? 3 : (unsigned)channels, &error);
	if (r != LMODEL_OK)
		return message_fail(&error);
	warn_of_few(lmodel_transform_info(t));
	if (lmodel_transform_save(t, output, &error) != LMODEL_OK)
		r = message_fail(&error);
	lmodel_transform_free(t);
	return r;
}

static int check_transform(void)
{
	if (transform == NULL && (block != 0 || channels != 0))
		return message_usage(&cmd_keygen, "--%s needs --transform",
				     block != 0 ? "block" : "channels");
	if (transform != NULL && identity != NULL)
		return message_usage(&cmd_keygen,
				     "--recipients and --transform exclude each other");
	if (transform != NULL && block == 0)
		return message_usage(&cmd_keygen, "--transform needs --block");
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	(void)count;
	(void)operands;
	if (check_transform() != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (transform != NULL)
		return make_transform();
	if (identity != NULL && output != NULL)
		return message_usage(&cmd_keygen, "--recipients and --output exclude each other");
	return identity != NULL ? print_recipients() : make();
}

const struct cmd cmd_keygen = {
	.name = "keygen",
	.synopsis = "[-o FILE] [options]",
	.summary = "make a key: an age identity, or one of images",
	.about =
	"Makes an age identity, as age-keygen does, on standard output or in FILE, and\n"
	"prints its recipient on standard error. The identity opens what is granted to\n"
	"the recipient: keep the one, hand out the other. With --transform it is a key\n"
	"of 'lmodel transform' instead.\n",
	.options = options,
	.secrets = true,
	.least = 0,
	.most = 0,
	.run = run,
};
