# The library. libcore.la holds the objects, for the tests; liblmodel.la is the public ABI.
noinst_LTLIBRARIES += %D%/libcore.la
lib_LTLIBRARIES += %D%/liblmodel.la
pkgconfig_DATA += %D%/lmodel.pc

dist_include_HEADERS = %D%/include/lmodel.h
lmodelincludedir = $(includedir)/lmodel
dist_lmodelinclude_HEADERS = \
	%D%/include/lmodel/archive.h \
	%D%/include/lmodel/check.h \
	%D%/include/lmodel/error.h \
	%D%/include/lmodel/extract.h \
	%D%/include/lmodel/pack.h \
	%D%/include/lmodel/run.h \
	%D%/include/lmodel/version.h

%C%_libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D% -I$(top_builddir) \
	$(ZSTD_CFLAGS) $(ARCHIVE_CFLAGS) $(GCRYPT_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS)
%C%_libcore_la_CFLAGS = $(AM_CFLAGS) -pthread
%C%_libcore_la_LIBADD = $(ZSTD_LIBS) $(ARCHIVE_LIBS) $(GCRYPT_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) -lpthread

# Lowest layer first; a layer knows only those above its line.
%C%_libcore_la_SOURCES = \
	%D%/base/base.h \
	%D%/base/dtype.c %D%/base/dtype.h \
	%D%/base/error.c \
	%D%/base/io.c %D%/base/io.h \
	%D%/base/memory.c \
	%D%/base/meter.c \
	%D%/base/pool.c %D%/base/pool.h \
	%D%/base/publish.c %D%/base/publish.h \
	%D%/base/text.c \
	%D%/crypto/crypto.c %D%/crypto/crypto.h \
	%D%/codec/chunk_decode.c %D%/codec/chunk_encode.c %D%/codec/codec.c \
	%D%/codec/codec.h %D%/codec/context.h \
	%D%/codec/planes.c %D%/codec/planes.h \
	%D%/container/layout.h \
	%D%/container/lock.c %D%/container/lock.h \
	%D%/container/slot.c %D%/container/slot.h \
	%D%/container/tar.c %D%/container/tar.h \
	%D%/manifest/check.c \
	%D%/manifest/hardened.c %D%/manifest/hardened.h \
	%D%/manifest/load.c \
	%D%/manifest/manifest.c %D%/manifest/manifest.h \
	%D%/manifest/store.c \
	%D%/import/attachment.c \
	%D%/import/directory.c %D%/import/directory.h \
	%D%/import/import.c %D%/import/kind.h \
	%D%/import/json.c %D%/import/json.h \
	%D%/import/model.c \
	%D%/import/safetensors.c \
	%D%/import/source.h \
	%D%/export/export.h \
	%D%/export/npy.c \
	%D%/export/safetensors.c \
	%D%/archive/archive.c %D%/archive/archive.h \
	%D%/archive/cat.c \
	%D%/archive/content.c %D%/archive/content.h \
	%D%/archive/diff.c \
	%D%/archive/duplicates.c %D%/archive/duplicates.h \
	%D%/archive/extract.c \
	%D%/archive/member.c %D%/archive/member.h \
	%D%/archive/options.h \
	%D%/archive/outputs.c %D%/archive/outputs.h \
	%D%/archive/pack.c \
	%D%/archive/repack.c \
	%D%/archive/repair.c \
	%D%/archive/scan.c %D%/archive/scan.h \
	%D%/archive/skeleton.c %D%/archive/skeleton.h \
	%D%/archive/skeleton_check.c \
	%D%/archive/verify.c \
	%D%/archive/writer.c %D%/archive/writer.h

nodist_%C%_libcore_la_SOURCES = schema/manifest_sql.h

%C%_liblmodel_la_SOURCES =
%C%_liblmodel_la_LIBADD = %D%/libcore.la
%C%_liblmodel_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/%D%/lmodel.sym
EXTRA_%C%_liblmodel_la_DEPENDENCIES = %D%/lmodel.sym
EXTRA_DIST += %D%/lmodel.sym
