# The program: public headers only.
bin_PROGRAMS += %D%/lmodel

%C%_lmodel_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_lmodel_LDADD = libfmt/liblmodel.la $(JANSSON_LIBS)
%C%_lmodel_SOURCES = \
	%D%/cmd.h \
	%D%/cmd_cat.c \
	%D%/cmd_diff.c \
	%D%/cmd_extract.c \
	%D%/cmd_inspect.c \
	%D%/cmd_list.c \
	%D%/cmd_pack.c \
	%D%/cmd_repack.c \
	%D%/cmd_verify.c \
	%D%/json.c %D%/json.h \
	%D%/main.c \
	%D%/message.c %D%/message.h \
	%D%/options.c %D%/options.h \
	%D%/progress.c %D%/progress.h \
	%D%/text.c %D%/text.h

dist_man_MANS += \
	%D%/man/lmodel.1 \
	%D%/man/lmodel-cat.1 \
	%D%/man/lmodel-diff.1 \
	%D%/man/lmodel-extract.1 \
	%D%/man/lmodel-inspect.1 \
	%D%/man/lmodel-list.1 \
	%D%/man/lmodel-pack.1 \
	%D%/man/lmodel-repack.1 \
	%D%/man/lmodel-verify.1

# What --progress json writes; the other schemas are listed in schema/local.mk.
