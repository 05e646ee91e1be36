# The program: public headers only.
bin_PROGRAMS += %D%/lmodel

%C%_lmodel_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_lmodel_LDADD = libfmt/liblmodel.la $(JANSSON_LIBS)
%C%_lmodel_SOURCES = \
	%D%/cmd.h \
	%D%/audit.c %D%/audit.h \
	%D%/audit_json.c \
	%D%/cmd_audit.c \
	%D%/cmd_cat.c \
	%D%/cmd_diff.c \
	%D%/cmd_extract.c \
	%D%/cmd_grant.c \
	%D%/cmd_inspect.c \
	%D%/cmd_keygen.c \
	%D%/cmd_list.c \
	%D%/cmd_pack.c \
	%D%/cmd_pull.c \
	%D%/cmd_push.c \
	%D%/cmd_repack.c \
	%D%/cmd_rekey.c \
	%D%/cmd_revoke.c \
	%D%/cmd_sign.c \
	%D%/cmd_strip.c \
	%D%/cmd_transform.c \
	%D%/cmd_verify.c \
	%D%/cyclonedx.c \
	%D%/inspect.c %D%/inspect.h \
	%D%/json.c %D%/json.h \
	%D%/keys.c %D%/keys.h \
	%D%/licence.c %D%/licence.h \
	%D%/main.c \
	%D%/message.c %D%/message.h \
	%D%/options.c %D%/options.h \
	%D%/passphrase.c %D%/passphrase.h \
	%D%/positions.c \
	%D%/progress.c %D%/progress.h \
	%D%/protect.c %D%/protect.h \
	%D%/recipients.c %D%/recipients.h \
	%D%/samefile.c %D%/samefile.h \
	%D%/signers.c %D%/signers.h \
	%D%/text.c %D%/text.h \
	%D%/remote.c %D%/remote.h \
	%D%/transfers.c %D%/transfers.h \
	%D%/view.c %D%/view.h

dist_man_MANS += \
	%D%/man/lmodel.1 \
	%D%/man/lmodel-audit.1 \
	%D%/man/lmodel-cat.1 \
	%D%/man/lmodel-diff.1 \
	%D%/man/lmodel-extract.1 \
	%D%/man/lmodel-grant.1 \
	%D%/man/lmodel-inspect.1 \
	%D%/man/lmodel-keygen.1 \
	%D%/man/lmodel-list.1 \
	%D%/man/lmodel-pack.1 \
	%D%/man/lmodel-pull.1 \
	%D%/man/lmodel-push.1 \
	%D%/man/lmodel-repack.1 \
	%D%/man/lmodel-rekey.1 \
	%D%/man/lmodel-revoke.1 \
	%D%/man/lmodel-sign.1 \
	%D%/man/lmodel-strip.1 \
	%D%/man/lmodel-transform.1 \
	%D%/man/lmodel-verify.1

# What --progress json writes; the other schemas are listed in schema/local.mk.
