# The library. libcore.la holds the objects, for the tests; liblmodel.la is the public ABI.
noinst_LTLIBRARIES += %D%/libcore.la
lib_LTLIBRARIES += %D%/liblmodel.la
pkgconfig_DATA += %D%/lmodel.pc

dist_include_HEADERS = %D%/include/lmodel.h
lmodelincludedir = $(includedir)/lmodel
dist_lmodelinclude_HEADERS = \
	%D%/include/lmodel/archive.h \
	%D%/include/lmodel/audit.h \
	%D%/include/lmodel/check.h \
	%D%/include/lmodel/error.h \
	%D%/include/lmodel/extract.h \
	%D%/include/lmodel/keys.h \
	%D%/include/lmodel/model.h \
	%D%/include/lmodel/pack.h \
	%D%/include/lmodel/protect.h \
	%D%/include/lmodel/registry.h \
	%D%/include/lmodel/remote.h \
	%D%/include/lmodel/run.h \
	%D%/include/lmodel/sign.h \
	%D%/include/lmodel/transform.h \
	%D%/include/lmodel/version.h

%C%_libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D% -I$(top_builddir) \
	$(ZSTD_CFLAGS) $(ARCHIVE_CFLAGS) $(GCRYPT_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS) \
	$(PNG_CFLAGS) $(CURL_CFLAGS)
%C%_libcore_la_CFLAGS = $(AM_CFLAGS) -pthread -ffp-contract=off
# libarchive, libpng and libcurl are loaded when they are needed (base/lazy.h).
%C%_libcore_la_LIBADD = $(ZSTD_LIBS) $(GCRYPT_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	-lpthread -lm

# Lowest layer first; a layer knows only those above its line.
%C%_libcore_la_SOURCES = \
	%D%/base/arena.c %D%/base/arena.h \
	%D%/base/base.h \
	%D%/base/blocks.c %D%/base/blocks.h \
	%D%/base/dtype.c %D%/base/dtype.h \
	%D%/base/error.c \
	%D%/base/format.c %D%/base/format.h \
	%D%/base/file.h \
	%D%/base/io.c %D%/base/io.h \
	%D%/base/json.c %D%/base/json.h \
	%D%/base/lazy.c %D%/base/lazy.h \
	%D%/base/memory.c \
	%D%/base/meter.c \
	%D%/base/nameset.c %D%/base/nameset.h \
	%D%/base/permute.c %D%/base/permute.h \
	%D%/base/pool.c %D%/base/pool.h \
	%D%/base/publish.c %D%/base/publish.h \
	%D%/base/text.c \
	%D%/crypto/aead.c %D%/crypto/aead.h \
	%D%/crypto/blake2b.c %D%/crypto/blake2b.h \
	%D%/crypto/chunked.c %D%/crypto/chunked.h \
	%D%/crypto/crc.c %D%/crypto/crc.h \
	%D%/crypto/crypto.c %D%/crypto/crypto.h \
	%D%/crypto/curve.c %D%/crypto/curve.h \
	%D%/crypto/deeplock.c %D%/crypto/deeplock.h \
	%D%/crypto/kdf.c %D%/crypto/kdf.h \
	%D%/crypto/keystream.c \
	%D%/crypto/secret.c %D%/crypto/secret.h \
	%D%/crypto/sha256.c %D%/crypto/sha256.h \
	%D%/crypto/sha512.c %D%/crypto/sha512.h \
	%D%/crypto/age/age.c %D%/crypto/age/age.h \
	%D%/crypto/age/armor.c %D%/crypto/age/armor.h \
	%D%/crypto/age/base64.c %D%/crypto/age/base64.h \
	%D%/crypto/age/bech32.c %D%/crypto/age/bech32.h \
	%D%/crypto/age/draw.c %D%/crypto/age/draw.h \
	%D%/crypto/age/header.c %D%/crypto/age/header.h \
	%D%/crypto/age/identity.c \
	%D%/crypto/age/identity_file.c \
	%D%/crypto/age/payload.c %D%/crypto/age/payload.h \
	%D%/crypto/age/recipient.c \
	%D%/crypto/age/ssh_key.c %D%/crypto/age/ssh_key.h \
	%D%/crypto/age/stanza.c %D%/crypto/age/stanza.h \
	%D%/crypto/age/stanza_scrypt.c \
	%D%/crypto/age/stanza_ssh_ed25519.c \
	%D%/crypto/age/stanza_x25519.c \
	%D%/crypto/sig/minisign.c %D%/crypto/sig/minisign.h \
	%D%/crypto/sig/signer_options.c %D%/crypto/sig/signer_options.h \
	%D%/crypto/sig/signers.c %D%/crypto/sig/signers.h \
	%D%/crypto/sig/signers_find.c \
	%D%/crypto/sig/ssh_public.c %D%/crypto/sig/ssh_public.h \
	%D%/crypto/sig/sshsig.c %D%/crypto/sig/sshsig.h \
	%D%/crypto/sig/wire.c %D%/crypto/sig/wire.h \
	%D%/net/auth.c %D%/net/auth.h \
	%D%/net/blobs.c \
	%D%/net/blockmap.c %D%/net/blockmap.h \
	%D%/net/cache.c %D%/net/cache.h \
	%D%/net/credentials.c %D%/net/credentials.h \
	%D%/net/curl.c %D%/net/curl.h \
	%D%/net/digest.c %D%/net/digest.h \
	%D%/net/fields.c %D%/net/fields.h \
	%D%/net/helper.c \
	%D%/net/http.c %D%/net/http.h \
	%D%/net/manifests.c \
	%D%/net/ranges.c %D%/net/ranges.h \
	%D%/net/reference.c %D%/net/reference.h \
	%D%/net/registry.c %D%/net/registry.h \
	%D%/net/repository.h \
	%D%/net/referrers.c \
	%D%/net/upload_session.c %D%/net/upload_session.h \
	%D%/net/store.c %D%/net/store.h \
	%D%/net/token.c %D%/net/token.h \
	%D%/net/upload.c \
	%D%/net/transfer.c %D%/net/transfer.h \
	%D%/net/url.c %D%/net/url.h \
	%D%/net/web.c %D%/net/web.h \
	%D%/codec/chunk_decode.c \
	%D%/codec/chunk_encode.c \
	%D%/codec/codec.c %D%/codec/codec.h \
	%D%/codec/context.h \
	%D%/codec/even.c %D%/codec/even.h %D%/codec/even_avx512.c \
	%D%/codec/frame.c %D%/codec/frame.h \
	%D%/codec/plan.c %D%/codec/plan.h \
	%D%/codec/planes.c %D%/codec/planes.h \
	%D%/codec/rans.h %D%/codec/rans_avx2.c %D%/codec/rans_avx512.h \
	%D%/codec/rans_decode.c %D%/codec/rans_decode_avx512.c \
	%D%/codec/rans_encode.c %D%/codec/rans_encode_avx512.c \
	%D%/codec/rans_model.c \
	%D%/codec/rans_plane.c %D%/codec/rans_plane.h \
	%D%/codec/rans_table.c \
	%D%/codec/sample.c %D%/codec/sample.h \
	%D%/codec/simd.c %D%/codec/simd.h \
	%D%/container/layout.h \
	%D%/container/libarchive.c %D%/container/libarchive.h \
	%D%/container/lock.c %D%/container/lock.h \
	%D%/container/slot.c %D%/container/slot.h \
	%D%/container/slot_write.c \
	%D%/container/tar.c %D%/container/tar.h \
	%D%/container/zip.c %D%/container/zip.h \
	%D%/container/zip_read.c \
	%D%/container/zip_write.c \
	%D%/manifest/check.c \
	%D%/manifest/hardened.c %D%/manifest/hardened.h \
	%D%/manifest/load.c \
	%D%/manifest/load_keys.c \
	%D%/manifest/load_tiers.c \
	%D%/manifest/manifest.c %D%/manifest/manifest.h \
	%D%/manifest/rows.c %D%/manifest/rows.h \
	%D%/manifest/store.c \
	%D%/keys/book.c %D%/keys/book.h \
	%D%/keys/grant.c %D%/keys/grant.h \
	%D%/keys/keyring.c %D%/keys/keyring.h \
	%D%/keys/memory.c %D%/keys/memory.h \
	%D%/keys/slots.c %D%/keys/slots.h \
	%D%/keys/tier_keys.c %D%/keys/tier_keys.h \
	%D%/import/attachment.c \
	%D%/import/directory.c \
	%D%/import/gguf.c %D%/import/gguf.h \
	%D%/import/gguf_values.c \
	%D%/import/import.c \
	%D%/import/index.c %D%/import/index.h \
	%D%/import/kind.h \
	%D%/import/model.c \
	%D%/import/onnx.c %D%/import/onnx.h \
	%D%/import/onnx_place.c \
	%D%/import/onnx_tensor.c \
	%D%/import/pickle.c %D%/import/pickle.h \
	%D%/import/pickle_machine.c %D%/import/pickle_machine.h \
	%D%/import/npy.c %D%/import/npy.h \
	%D%/import/npy_header.c \
	%D%/import/npz.c \
	%D%/import/safetensors.c \
	%D%/import/skeleton.c %D%/import/skeleton.h \
	%D%/import/source.h \
	%D%/import/torch.h \
	%D%/import/torch_collect.c \
	%D%/import/torch_legacy.c \
	%D%/import/torch_place.c \
	%D%/import/torch_zip.c \
	%D%/import/view.c \
	%D%/import/window.c %D%/import/window.h \
	%D%/import/wire.c %D%/import/wire.h \
	%D%/export/export.h \
	%D%/export/gguf.c \
	%D%/export/npy.c \
	%D%/export/npz.c \
	%D%/export/pairs.c \
	%D%/export/safetensors.c \
	%D%/protect/ahead.c %D%/protect/ahead.h \
	%D%/protect/bracket.c %D%/protect/bracket.h \
	%D%/protect/chosen.c %D%/protect/chosen.h \
	%D%/protect/decoy.c %D%/protect/decoy.h \
	%D%/protect/detect.c %D%/protect/detect.h \
	%D%/protect/detect_features.c \
	%D%/protect/detect_state.c %D%/protect/detect_state.h \
	%D%/protect/donors.c %D%/protect/donors.h \
	%D%/protect/draw.h \
	%D%/protect/eligible.c %D%/protect/eligible.h \
	%D%/protect/find.c \
	%D%/protect/gather.c %D%/protect/gather.h \
	%D%/protect/gather_all.c \
	%D%/protect/golomb.h \
	%D%/protect/grid.c %D%/protect/grid.h \
	%D%/protect/kernels.c %D%/protect/kernels.h %D%/protect/kernels_lanes.h \
	%D%/protect/key.c %D%/protect/key.h \
	%D%/protect/line.c %D%/protect/line.h \
	%D%/protect/mask.c %D%/protect/mask.h \
	%D%/protect/mask_plan.c \
	%D%/protect/mask_state.h \
	%D%/protect/positions.h \
	%D%/protect/picks.c %D%/protect/picks.h \
	%D%/protect/positions_meter.c \
	%D%/protect/positions_read.c \
	%D%/protect/positions_write.c \
	%D%/protect/predict.c %D%/protect/predict.h \
	%D%/protect/public_bytes.c %D%/protect/public_bytes.h \
	%D%/protect/rank.c %D%/protect/rank.h \
	%D%/protect/residual.c %D%/protect/residual.h \
	%D%/protect/ridge.c %D%/protect/ridge.h \
	%D%/protect/sample.c %D%/protect/sample.h \
	%D%/protect/scale.c %D%/protect/scale.h \
	%D%/protect/scale_all.c \
	%D%/protect/scope.c %D%/protect/scope.h \
	%D%/protect/score.c %D%/protect/score.h \
	%D%/protect/select.c %D%/protect/select.h \
	%D%/protect/selection.c %D%/protect/selection.h \
	%D%/protect/streams.c %D%/protect/streams.h \
	%D%/protect/units.c %D%/protect/units.h \
	%D%/protect/walk.c %D%/protect/walk.h \
	%D%/protect/whole.c %D%/protect/whole.h \
	%D%/transform/apply.c \
	%D%/transform/array.c \
	%D%/transform/draw.c \
	%D%/transform/file.c \
	%D%/transform/input.c %D%/transform/input.h \
	%D%/transform/key.c \
	%D%/transform/libpng.c %D%/transform/libpng.h \
	%D%/transform/npy.c \
	%D%/transform/picture.h \
	%D%/transform/png.c \
	%D%/transform/transform.h \
	%D%/archive/access.c \
	%D%/archive/archive.c %D%/archive/archive.h \
	%D%/archive/attachments.c %D%/archive/attachments.h \
	%D%/archive/audit.c \
	%D%/archive/audit_against.c \
	%D%/archive/audit_detect.c \
	%D%/archive/audit_report.h \
	%D%/archive/audit_view.c %D%/archive/audit_view.h \
	%D%/archive/cat.c \
	%D%/archive/change.c %D%/archive/change.h \
	%D%/archive/content.c %D%/archive/content.h \
	%D%/archive/deeplock.c %D%/archive/deeplock.h \
	%D%/archive/deeplock_write.c \
	%D%/archive/detached.c %D%/archive/detached.h \
	%D%/archive/diff.c \
	%D%/archive/duplicates.c %D%/archive/duplicates.h \
	%D%/archive/extract.c \
	%D%/archive/extract_descr.c \
	%D%/archive/extract_gguf.c \
	%D%/archive/extract_loss.c \
	%D%/archive/extract_plan.c \
	%D%/archive/extract_sealed.c \
	%D%/archive/extraction.h \
	%D%/archive/finish.c %D%/archive/finish.h \
	%D%/archive/hidden.c %D%/archive/hidden.h \
	%D%/archive/like.c %D%/archive/like.h \
	%D%/archive/member.c %D%/archive/member.h \
	%D%/archive/options.h \
	%D%/archive/outputs.c %D%/archive/outputs.h \
	%D%/archive/overlay.c %D%/archive/overlay.h \
	%D%/archive/pack.c \
	%D%/archive/positions.c \
	%D%/archive/protect.c %D%/archive/protect.h \
	%D%/archive/protect_keys.c \
	%D%/archive/protect_locks.c \
	%D%/archive/protect_measure.c \
	%D%/archive/protect_parts.h \
	%D%/archive/protect_sealed.c \
	%D%/archive/protect_write.c \
	%D%/archive/read.c \
	%D%/archive/rekey.c %D%/archive/rekey.h \
	%D%/archive/rekey_write.c \
	%D%/archive/repack.c \
	%D%/archive/repair.c \
	%D%/archive/scan.c %D%/archive/scan.h \
	%D%/archive/shard.c %D%/archive/shard.h \
	%D%/archive/shard_read.c \
	%D%/archive/shard_stream.c \
	%D%/archive/shard_walk.c \
	%D%/archive/sign.c %D%/archive/sign.h \
	%D%/archive/skeleton.c %D%/archive/skeleton.h \
	%D%/archive/skeleton_check.c \
	%D%/archive/tiers.c \
	%D%/archive/transform.c \
	%D%/archive/unlock.c %D%/archive/unlock.h \
	%D%/archive/verify.c \
	%D%/archive/verify_streams.c %D%/archive/verify_streams.h \
	%D%/archive/bundle.c %D%/archive/bundle.h \
	%D%/archive/writer.c %D%/archive/writer.h \
	%D%/registry/assembly.c %D%/registry/assembly.h \
	%D%/registry/exchange.c %D%/registry/exchange.h \
	%D%/registry/grants.c %D%/registry/grants.h \
	%D%/registry/image.c %D%/registry/image.h \
	%D%/registry/image_make.c \
	%D%/registry/json_read.c %D%/registry/json_read.h \
	%D%/registry/json_write.c %D%/registry/json_write.h \
	%D%/registry/layers.c %D%/registry/layers.h \
	%D%/registry/partial.c \
	%D%/registry/pull.c %D%/registry/pull.h \
	%D%/registry/pull_target.c \
	%D%/registry/push.c \
	%D%/registry/push_grant.c \
	%D%/registry/remote.c \
	%D%/registry/remote_image.c %D%/registry/remote_image.h

nodist_%C%_libcore_la_SOURCES = schema/manifest_sql.h

%C%_liblmodel_la_SOURCES =
%C%_liblmodel_la_LIBADD = %D%/libcore.la
%C%_liblmodel_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/%D%/lmodel.sym
EXTRA_%C%_liblmodel_la_DEPENDENCIES = %D%/lmodel.sym
EXTRA_DIST += %D%/lmodel.sym
