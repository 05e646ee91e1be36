# Tests. Unit tests link the library's objects; scripts use the built program. All speak TAP.
LDADD = libfmt/libcore.la
lm_test_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/libfmt -I$(top_srcdir)/%D% -I$(top_builddir) \
	$(ZSTD_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS)

lm_unit_tests = \
	%D%/unit/test_age \
	%D%/unit/test_age_keys \
	%D%/unit/test_age_text \
	%D%/unit/test_archive \
	%D%/unit/test_attachments \
	%D%/unit/test_blocks \
	%D%/unit/test_chunk_decode \
	%D%/unit/test_chunked \
	%D%/unit/test_codec \
	%D%/unit/test_credentials \
	%D%/unit/test_crypto \
	%D%/unit/test_decoy \
	%D%/unit/test_deeplock \
	%D%/unit/test_detect \
	%D%/unit/test_directory \
	%D%/unit/test_even \
	%D%/unit/test_export \
	%D%/unit/test_fields \
	%D%/unit/test_gguf \
	%D%/unit/test_hidden \
	%D%/unit/test_import \
	%D%/unit/test_layers \
	%D%/unit/test_manifest \
	%D%/unit/test_mask \
	%D%/unit/test_meanwhile \
	%D%/unit/test_minisign \
	%D%/unit/test_npy \
	%D%/unit/test_overlay \
	%D%/unit/test_permute \
	%D%/unit/test_planes \
	%D%/unit/test_pool \
	%D%/unit/test_positions \
	%D%/unit/test_kernels \
	%D%/unit/test_picks \
	%D%/unit/test_protect \
	%D%/unit/test_publish \
	%D%/unit/test_reference \
	%D%/unit/test_ranges \
	%D%/unit/test_rans \
	%D%/unit/test_residual \
	%D%/unit/test_safetensors \
	%D%/unit/test_select \
	%D%/unit/test_select_inputs \
	%D%/unit/test_signers \
	%D%/unit/test_slot \
	%D%/unit/test_sshsig \
	%D%/unit/test_tamper \
	%D%/unit/test_tar \
	%D%/unit/test_text \
	%D%/unit/test_transform \
	%D%/unit/test_units \
	%D%/unit/test_vectors \
	%D%/unit/test_wire \
	%D%/unit/test_zip

%C%_unit_test_age_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_age_keys_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_age_text_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_archive_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_attachments_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_chunk_decode_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_chunked_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_codec_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_credentials_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_crypto_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_decoy_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_deeplock_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_detect_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_directory_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_even_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_export_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_fields_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_gguf_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_hidden_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_import_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_layers_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_manifest_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_mask_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_meanwhile_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_minisign_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_npy_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_overlay_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_permute_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_planes_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_blocks_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_pool_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_positions_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_kernels_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_picks_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_protect_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_publish_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_reference_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_ranges_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_rans_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_residual_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_safetensors_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_select_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_select_inputs_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_signers_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_slot_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_sshsig_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_tamper_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_tar_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_text_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_transform_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_units_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_vectors_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_wire_CPPFLAGS = $(lm_test_cppflags)
%C%_unit_test_zip_CPPFLAGS = $(lm_test_cppflags)

# A target takes bytes; libFuzzer or replay.c brings main().
lm_fuzz_targets = \
	%D%/fuzz/fuzz_age \
	%D%/fuzz/fuzz_archive \
	%D%/fuzz/fuzz_blockmap \
	%D%/fuzz/fuzz_chunk \
	%D%/fuzz/fuzz_gguf \
	%D%/fuzz/fuzz_npy \
	%D%/fuzz/fuzz_npz \
	%D%/fuzz/fuzz_images \
	%D%/fuzz/fuzz_image \
	%D%/fuzz/fuzz_index \
	%D%/fuzz/fuzz_manifest \
	%D%/fuzz/fuzz_net \
	%D%/fuzz/fuzz_onnx \
	%D%/fuzz/fuzz_positions \
	%D%/fuzz/fuzz_safetensors \
	%D%/fuzz/fuzz_sshsig \
	%D%/fuzz/fuzz_torch \
	%D%/fuzz/fuzz_transform

%C%_fuzz_fuzz_age_SOURCES = %D%/fuzz/fuzz_age.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_age_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_age_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_archive_SOURCES = %D%/fuzz/fuzz_archive.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_archive_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_archive_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_blockmap_SOURCES = %D%/fuzz/fuzz_blockmap.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_blockmap_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_blockmap_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_chunk_SOURCES = %D%/fuzz/fuzz_chunk.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_chunk_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_chunk_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_gguf_SOURCES = %D%/fuzz/fuzz_gguf.c %D%/fuzz/import_check.h %D%/fuzz/replay.c
%C%_fuzz_fuzz_gguf_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_gguf_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_npy_SOURCES = %D%/fuzz/fuzz_npy.c %D%/fuzz/import_check.h %D%/fuzz/replay.c
%C%_fuzz_fuzz_npy_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_npy_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_npz_SOURCES = %D%/fuzz/fuzz_npz.c %D%/fuzz/import_check.h %D%/fuzz/replay.c
%C%_fuzz_fuzz_npz_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_npz_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_images_SOURCES = %D%/fuzz/fuzz_images.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_images_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_images_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_image_SOURCES = %D%/fuzz/fuzz_image.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_image_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_image_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_index_SOURCES = %D%/fuzz/fuzz_index.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_index_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_index_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_manifest_SOURCES = %D%/fuzz/fuzz_manifest.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_manifest_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_manifest_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_net_SOURCES = %D%/fuzz/fuzz_net.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_net_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_net_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_onnx_SOURCES = %D%/fuzz/fuzz_onnx.c %D%/fuzz/import_check.h %D%/fuzz/replay.c
%C%_fuzz_fuzz_onnx_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_onnx_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_positions_SOURCES = %D%/fuzz/fuzz_positions.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_positions_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_positions_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_safetensors_SOURCES = %D%/fuzz/fuzz_safetensors.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_safetensors_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_safetensors_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_sshsig_SOURCES = %D%/fuzz/fuzz_sshsig.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_sshsig_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_sshsig_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_torch_SOURCES = %D%/fuzz/fuzz_torch.c %D%/fuzz/import_check.h %D%/fuzz/replay.c
%C%_fuzz_fuzz_torch_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_torch_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)
%C%_fuzz_fuzz_transform_SOURCES = %D%/fuzz/fuzz_transform.c %D%/fuzz/replay.c
%C%_fuzz_fuzz_transform_CPPFLAGS = $(lm_test_cppflags)
%C%_fuzz_fuzz_transform_LDFLAGS = $(AM_LDFLAGS) $(LM_FUZZ_FLAGS)

# Small programs that scripts drive.
lm_test_tools = %D%/interop/age_tool %D%/interop/sig_tool %D%/net/net_tool \
	%D%/vectors/age_vector
%C%_net_net_tool_CPPFLAGS = $(lm_test_cppflags)
%C%_interop_age_tool_CPPFLAGS = $(lm_test_cppflags)
%C%_interop_sig_tool_CPPFLAGS = $(lm_test_cppflags)
%C%_vectors_age_vector_CPPFLAGS = $(lm_test_cppflags)

lm_script_tests = \
	%D%/cli/ancestor.sh \
	%D%/cli/attach.sh \
	%D%/cli/audit.sh \
	%D%/cli/bench.sh \
	%D%/cli/cat.sh \
	%D%/cli/customers.sh \
	%D%/cli/damage.sh \
	%D%/cli/decoys.sh \
	%D%/cli/diff.sh \
	%D%/cli/extract.sh \
	%D%/cli/forged.sh \
	%D%/cli/gguf_out.sh \
	%D%/cli/huggingface.sh \
	%D%/cli/inputs.sh \
	%D%/cli/json.sh \
	%D%/cli/keys_usage.sh \
	%D%/cli/like.sh \
	%D%/cli/list.sh \
	%D%/cli/locks.sh \
	%D%/cli/malformed.sh \
	%D%/cli/memory.sh \
	%D%/cli/mixed.sh \
	%D%/cli/models.sh \
	%D%/cli/numpy.sh \
	%D%/cli/onnx.sh \
	%D%/cli/pack.sh \
	%D%/cli/protect.sh \
	%D%/cli/pull.sh \
	%D%/cli/pull_lies.sh \
	%D%/cli/push.sh \
	%D%/cli/pytorch.sh \
	%D%/cli/rekey.sh \
	%D%/cli/remote.sh \
	%D%/cli/remote_faults.sh \
	%D%/cli/repack.sh \
	%D%/cli/roundtrip.sh \
	%D%/cli/samefile.sh \
	%D%/cli/secrets.sh \
	%D%/cli/sign.sh \
	%D%/cli/skeletons.sh \
	%D%/cli/startup.sh \
	%D%/cli/tamper.sh \
	%D%/cli/tools.sh \
	%D%/cli/transform.sh \
	%D%/cli/unpacked.sh \
	%D%/cli/usage.sh \
	%D%/cli/verify.sh \
	%D%/fault/access.sh \
	%D%/fault/crash.sh \
	%D%/fault/full_disk.sh \
	%D%/fault/rekey.sh \
	%D%/fuzz/replay.sh \
	%D%/interop/age.sh \
	%D%/interop/reader.sh \
	%D%/interop/signatures.sh \
	%D%/meta/documents.sh \
	%D%/meta/help.sh \
	%D%/meta/layers.sh \
	%D%/meta/symbols.sh \
	%D%/net/auth.sh \
	%D%/net/blobs.sh \
	%D%/net/http.sh \
	%D%/net/manifests.sh \
	%D%/net/tls.sh \
	%D%/net/uploads.sh \
	%D%/python/abi.sh \
	%D%/python/archive.sh \
	%D%/python/attacked.sh \
	%D%/python/errors.sh \
	%D%/python/evaluate.sh \
	%D%/python/install.sh \
	%D%/python/keys.sh \
	%D%/python/learnt.sh \
	%D%/python/memory.sh \
	%D%/python/pack.sh \
	%D%/python/protect.sh \
	%D%/python/readme.sh \
	%D%/python/registry.sh \
	%D%/python/remote.sh \
	%D%/python/reports.sh \
	%D%/python/safetensors.sh \
	%D%/python/stand_in.sh \
	%D%/python/transform.sh \
	%D%/vectors/age.sh \
	%D%/vectors/check.py

check_PROGRAMS += $(lm_unit_tests) $(lm_fuzz_targets) $(lm_test_tools)
TESTS += $(lm_unit_tests) $(lm_script_tests)

list-tests:
	@echo $(TESTS)
.PHONY: list-tests
AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)' builddir='$(builddir)'; export srcdir builddir;
EXTRA_DIST += $(lm_script_tests) \
	%D%/fuzz/corpus \
	%D%/fuzz/safetensors.dict \
	%D%/interop/reader.py \
	%D%/interop/reader_parts.py \
	%D%/large/access.sh \
	%D%/large/make_bf16.py \
	%D%/large/many.sh \
	%D%/large/run.sh \
	%D%/lib/access.py \
	%D%/lib/by_hand.py \
	%D%/lib/age_keys.h \
	%D%/lib/faults.py \
	%D%/lib/find_secrets.py \
	%D%/lib/forge.py \
	%D%/lib/mkgguf.py \
	%D%/lib/mkimage.py \
	%D%/lib/mkmodel.py \
	%D%/lib/mkonnx.py \
	%D%/lib/mktorch.py \
	%D%/lib/models.h \
	%D%/lib/places.py \
	%D%/lib/pytap.py \
	%D%/lib/python.sh \
	%D%/lib/readgguf.py \
	%D%/lib/registry.py \
	%D%/lib/registry.sh \
	%D%/lib/registry_auth.py \
	%D%/lib/registry_faults.py \
	%D%/lib/registry_handler.py \
	%D%/lib/registry_store.py \
	%D%/lib/rekey_after.py \
	%D%/lib/rekey_faults.py \
	%D%/lib/rekey_world.py \
	%D%/lib/relock.py \
	%D%/lib/slots.py \
	%D%/lib/tamper.py \
	%D%/lib/tap.h \
	%D%/lib/tap.sh \
	%D%/lib/trained_detector.py \
	%D%/lib/vectors.h \
	%D%/lib/whole_schema.h \
	%D%/lib/token_server.py \
	%D%/registry/archive.sh \
	%D%/registry/client.sh \
	%D%/registry/lib.sh \
	%D%/registry/remote.sh \
	%D%/registry/run \
	%D%/registry/session.sh \
	%D%/python/abi.py \
	%D%/python/archive.py \
	%D%/python/attacked.py \
	%D%/python/errors.py \
	%D%/python/keys.py \
	%D%/python/learnt.py \
	%D%/python/memory.py \
	%D%/python/pack.py \
	%D%/python/readme.py \
	%D%/python/registry.py \
	%D%/python/remote.py \
	%D%/python/reports.py \
	%D%/python/safetensors.py \
	%D%/python/stand_in.py \
	%D%/python/transform.py \
	%D%/unit/mask_world.h \
	%D%/vectors/attachment.json \
	%D%/vectors/book.json \
	%D%/vectors/chunked.json \
	%D%/vectors/context.json \
	%D%/vectors/deeplock.json \
	%D%/vectors/grant.json \
	%D%/vectors/keys.json \
	%D%/vectors/padding.json \
	%D%/vectors/positions.json \
	%D%/vectors/statement.json \
	%D%/vectors/transform.json \
	%D%/run

# Minutes and gigabytes: not a part of `make check`.
check-large: all
	for t in run many; do \
		srcdir='$(srcdir)' builddir='$(builddir)' $(BASH) $(srcdir)/%D%/large/$$t.sh || exit 1; \
	done
.PHONY: check-large

# A real registry on this machine: needs docker-registry, skopeo, apache2-utils.
check-registry: all %D%/net/net_tool
	srcdir='$(srcdir)' builddir='$(builddir)' $(BASH) $(srcdir)/%D%/registry/run
.PHONY: check-registry

# Fuzzing for real, in a tree configured with CC=clang --enable-fuzzing: FUZZ_SECONDS a target.
# New inputs go to fuzz-work/, never into the corpus.
FUZZ_SECONDS = 600
fuzz: $(lm_fuzz_targets)
	@for t in $(lm_fuzz_targets); do \
		name=$${t##*/fuzz_}; $(MKDIR_P) fuzz-work/$$name; \
		$$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 fuzz-work/$$name \
			$(srcdir)/%D%/fuzz/corpus/$$name || exit 1; \
	done
.PHONY: fuzz
