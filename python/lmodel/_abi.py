"""The public headers of liblmodel (libfmt/include/lmodel/*.h) for ctypes; nothing else.

``struct lmodel_audit_tier`` is ``AuditTier``; enumerators keep their names. A test compiles the
headers and compares every size, offset, value and prototype with this module.
"""

from __future__ import annotations

from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_int,
                    c_int64, c_long, c_size_t, c_uint, c_uint32, c_uint64, c_ulonglong, c_void_p)

# ---- enumerators ----

LMODEL_OK, LMODEL_EFAILED, LMODEL_EUSAGE, LMODEL_ENOKEY = 0, 1, 2, 3
LMODEL_ECORRUPT, LMODEL_EUNSUPPORTED, LMODEL_ELIMIT = 4, 5, 6
LMODEL_NOTE, LMODEL_FAULT = 0, 1
LMODEL_ONLY_A, LMODEL_ONLY_B, LMODEL_DTYPE, LMODEL_SHAPE = 0, 1, 2, 3
LMODEL_CONTENT, LMODEL_METADATA, LMODEL_ATTACHMENT = 4, 5, 6
LMODEL_FORMAT_SAFETENSORS, LMODEL_FORMAT_NATIVE = 0, 1
LMODEL_FORMAT_NPZ, LMODEL_FORMAT_NPY, LMODEL_FORMAT_GGUF = 2, 3, 4
LMODEL_HOLDER, LMODEL_AUDITOR, LMODEL_OWNER = 0, 1, 2
LMODEL_LEVEL_DEFAULT, LMODEL_LEVEL_FAST, LMODEL_LEVEL_SMALL = 0, 1, 2
LMODEL_SELECT_PSS, LMODEL_SELECT_MAGNITUDE, LMODEL_SELECT_RANDOM, LMODEL_SELECT_ALL = 0, 1, 2, 3
LMODEL_MASK_DPRM, LMODEL_MASK_ZERO, LMODEL_MASK_DEEP_LOCK, LMODEL_MASK_PERTURB = 0, 1, 2, 3
LMODEL_UNIT_DEFAULT, LMODEL_UNIT_ELEMENT, LMODEL_UNIT_SLICE = 0, 1, 2
LMODEL_UNIT_ROW, LMODEL_UNIT_COLUMN, LMODEL_UNIT_BLOCK = 3, 4, 5
LMODEL_SCOPE_EQUAL, LMODEL_SCOPE_MODEL, LMODEL_SCOPE_LAYER = 0, 1, 2
LMODEL_LAYER_SENT, LMODEL_LAYER_MOUNTED, LMODEL_LAYER_THERE = 0, 1, 2
LMODEL_LAYER_FETCHED, LMODEL_LAYER_COPIED, LMODEL_LAYER_LEFT = 3, 4, 5

LMODEL_MESSAGE_SIZE = 1024
LMODEL_RECIPIENT_SIZE = 128
LMODEL_DIGEST_SIZE = 72

# ---- callbacks ----

progress_fn = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
notice_fn = CFUNCTYPE(None, c_void_p, c_char_p)
finding_fn = CFUNCTYPE(None, c_void_p, c_int, c_char_p)
passphrase_fn = CFUNCTYPE(c_long, c_void_p, c_char_p, c_void_p, c_size_t)
recipient_fn = CFUNCTYPE(None, c_void_p, c_char_p)
positions_fn = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)

# ---- error.h, run.h ----


class Error(Structure):
    _fields_ = [("code", c_int), ("message", c_char * LMODEL_MESSAGE_SIZE)]


class Run(Structure):
    _fields_ = [("jobs", c_uint), ("progress", progress_fn), ("notice", notice_fn),
                ("context", c_void_p)]


# ---- archive.h ----


class Info(Structure):
    _fields_ = [("id", c_char_p), ("tool", c_char_p), ("source_format", c_char_p),
                ("content_root", c_char_p), ("statement", c_char_p), ("created", c_int64),
                ("format_version", c_uint32), ("content_generation", c_uint64),
                ("commit_counter", c_uint64), ("file_bytes", c_uint64),
                ("committed_bytes", c_uint64), ("manifest_bytes", c_uint64),
                ("manifest_room", c_uint64), ("chunk_bytes", c_uint64),
                ("tensor_bytes", c_uint64), ("tensor_stored_bytes", c_uint64),
                ("parameters", c_uint64), ("dead_bytes", c_uint64), ("tensor_count", c_size_t),
                ("alias_count", c_size_t), ("attachment_count", c_size_t),
                ("source_count", c_size_t), ("metadata_count", c_size_t)]


class Tensor(Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_char_p), ("dtype_bits", c_uint), ("rank", c_uint),
                ("shape", POINTER(c_uint64)), ("elements", c_uint64), ("bytes", c_uint64),
                ("stored_bytes", c_uint64), ("alias_of", c_char_p), ("source", c_char_p),
                ("member", c_char_p), ("block_elements", c_uint), ("block_bytes", c_uint)]


class Attachment(Structure):
    _fields_ = [("name", c_char_p), ("bytes", c_uint64), ("stored_bytes", c_uint64),
                ("tier", c_char_p), ("open", c_bool)]


class Source(Structure):
    _fields_ = [("name", c_char_p), ("format", c_char_p), ("bytes", c_uint64),
                ("tensor_count", c_size_t)]


class Metadata(Structure):
    _fields_ = [("source", c_char_p), ("key", c_char_p), ("value", c_char_p)]


class Read(Structure):
    _fields_ = [("tensor", POINTER(Tensor)), ("offset", c_uint64), ("len", c_size_t),
                ("buffer", c_void_p)]


# ---- keys.h ----


class Grantee(Structure):
    _fields_ = [("recipient", c_char_p), ("passphrase", c_char_p), ("passphrase_len", c_size_t),
                ("role", c_int), ("tier", c_char_p), ("label", c_char_p)]


class Tier(Structure):
    _fields_ = [("name", c_char_p), ("select", c_char_p), ("mask", c_char_p), ("unit", c_char_p),
                ("scope", c_char_p), ("amount", c_char_p), ("generation", c_ulonglong),
                ("stored_bytes", c_ulonglong), ("tensor_count", c_size_t),
                ("recoverable", c_bool), ("absent", c_bool), ("open", c_bool), ("positions_open", c_bool), ("attachment_count", c_size_t)]


class Shard(Structure):
    _fields_ = [("tensor", c_char_p), ("tier", c_char_p), ("unit", c_char_p),
                ("stored_bytes", c_ulonglong), ("most_bytes", c_ulonglong),
                ("recoverable", c_bool)]


class Slot(Structure):
    _fields_ = [("id", c_uint), ("kind", c_char_p), ("known", c_bool), ("role", c_int),
                ("tier", c_char_p), ("label", c_char_p), ("recipient", c_char_p)]


class GrantOptions(Structure):
    _fields_ = [("size", c_size_t), ("detached", c_char_p), ("overwrite", c_bool),
                ("book", c_char_p), ("notice", notice_fn), ("context", c_void_p),
                ("text", POINTER(c_char_p))]


class Revocation(Structure):
    _fields_ = [("slot", c_uint), ("label", c_char_p), ("recipient", c_char_p)]


class RevokeOptions(Structure):
    _fields_ = [("size", c_size_t), ("book", c_char_p), ("run", Run)]


class RekeyOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("grants", c_char_p), ("book", c_char_p),
                ("sign_key", c_char_p), ("unsigned_after", c_bool)]


# ---- registry.h ----


class Layer(Structure):
    _fields_ = [("kind", c_char_p), ("tier", c_char_p), ("digest", c_char_p),
                ("offset", c_uint64), ("length", c_uint64), ("fate", c_int)]


layer_fn = CFUNCTYPE(None, c_void_p, POINTER(Layer))


class PushReport(Structure):
    _fields_ = [("digest", c_char * LMODEL_DIGEST_SIZE), ("sent", c_uint64),
                ("received", c_uint64), ("requests", c_uint64), ("grants", c_size_t),
                ("changed", c_bool)]


class PushOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("plain_http", c_bool), ("from", c_char_p),
                ("chunk", c_uint64), ("state", c_char_p), ("layer", layer_fn)]


class PullReport(Structure):
    _fields_ = [("digest", c_char * LMODEL_DIGEST_SIZE), ("received", c_uint64),
                ("sent", c_uint64), ("requests", c_uint64), ("copied", c_uint64),
                ("changed", c_bool), ("tier", c_char * 65), ("absent", c_size_t),
                ("grant", c_void_p), ("signed_by", c_void_p)]


class PullOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("plain_http", c_bool), ("output", c_char_p),
                ("tier", c_char_p), ("base", c_bool), ("keyring", c_void_p),
                ("overwrite", c_bool), ("allow_rollback", c_bool), ("signers", c_char_p),
                ("layer", layer_fn)]


class PushGrantOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("plain_http", c_bool)]


# ---- sign.h, check.h, extract.h ----


class Signature(Structure):
    _fields_ = [("kind", c_char_p), ("signer", c_char_p), ("of_this", c_bool)]


class VerifyReport(Structure):
    _fields_ = [("bytes", c_uint64), ("chunks", c_uint64), ("members", c_size_t),
                ("faults", c_size_t), ("notes", c_size_t)]


class DiffEntry(Structure):
    _fields_ = [("kind", c_int), ("name", c_char_p), ("detail", c_char_p), ("elements", c_uint64)]


diff_fn = CFUNCTYPE(None, c_void_p, POINTER(DiffEntry))


class ExtractOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("format", c_int),
                ("patterns", POINTER(c_char_p)), ("pattern_count", c_size_t),
                ("excludes", POINTER(c_char_p)), ("exclude_count", c_size_t),
                ("max_shard_bytes", c_uint64), ("overwrite", c_bool), ("lossy", c_bool)]


# ---- protect.h, pack.h ----


class TierAmount(Structure):
    _fields_ = [("name", c_char_p), ("share", c_double), ("units", c_uint64), ("text", c_char_p)]


class ProtectOptions(Structure):
    _fields_ = [("size", c_size_t), ("tiers", POINTER(TierAmount)), ("tier_count", c_size_t),
                ("select", c_int), ("mask", c_int), ("unit", c_int), ("scope", c_int),
                ("raw_scores", c_bool), ("includes", POINTER(c_char_p)),
                ("include_count", c_size_t), ("excludes", POINTER(c_char_p)),
                ("exclude_count", c_size_t), ("scores", c_char_p), ("reference", c_char_p),
                ("ancestor", c_char_p), ("like", c_char_p), ("like_keys", c_void_p), ("grantees", POINTER(Grantee)),
                ("grantee_count", c_size_t), ("test_keys", c_bool)]


class Attach(Structure):
    _fields_ = [("path", c_char_p), ("name", c_char_p), ("tier", c_char_p)]


class PackOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("level", c_int), ("chunk_bytes", c_uint64),
                ("attach", POINTER(Attach)), ("attach_count", c_size_t), ("seed", c_char_p),
                ("seed_len", c_size_t), ("overwrite", c_bool),
                ("protect", POINTER(ProtectOptions)), ("input_names", POINTER(c_char_p))]


class RepackOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("recode", c_bool), ("level", c_int),
                ("chunk_bytes", c_uint64), ("overwrite", c_bool)]


class StripOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("overwrite", c_bool)]


# ---- audit.h ----


class Positions(Structure):
    _fields_ = [("unit", c_char_p), ("unit_count", c_uint64), ("unit_bytes", c_uint64),
                ("hidden", c_uint64)]


class Detection(Structure):
    _fields_ = [("tensors", c_size_t), ("detector", c_char_p), ("mean", c_double),
                ("most", c_double), ("tensor", c_char_p), ("lot", c_double),
                ("position", c_char_p), ("position_mean", c_double), ("position_most", c_double),
                ("tail_known", c_bool), ("tail", c_double), ("pooled_tensors", c_size_t),
                ("pooled_detector", c_char_p), ("pooled", c_double), ("pooled_lot", c_double)]


class AuditShard(Structure):
    _fields_ = [("tensor", POINTER(Tensor)), ("tier", c_size_t), ("unit", c_char_p),
                ("unit_count", c_uint64), ("unit_bytes", c_uint64), ("stored_bytes", c_uint64),
                ("exact", c_bool), ("units", c_uint64), ("elements", c_uint64),
                ("bytes", c_uint64), ("detection", Detection)]


class AuditTier(Structure):
    _fields_ = [("tier", POINTER(Tier)), ("recoverable", c_bool), ("given", c_bool),
                ("exact", c_bool), ("units", c_uint64), ("elements", c_uint64),
                ("bytes", c_uint64), ("detection", Detection)]


class AuditReport(Structure):
    _fields_ = [("tiers", POINTER(AuditTier)), ("tier_count", c_size_t),
                ("shards", POINTER(AuditShard)), ("shard_count", c_size_t), ("exact", c_bool),
                ("elements", c_uint64), ("bytes", c_uint64), ("all_elements", c_uint64),
                ("all_bytes", c_uint64), ("findings", POINTER(c_char_p)),
                ("finding_count", c_size_t)]


class AuditOptions(Structure):
    _fields_ = [("size", c_size_t), ("run", Run), ("no_detection", c_bool)]


class AuditChange(Structure):
    _fields_ = [("tensor", POINTER(Tensor)), ("unit", c_char_p), ("unit_count", c_uint64),
                ("differing", c_uint64), ("hidden", c_uint64), ("given_away", c_uint64)]


class AuditComparison(Structure):
    _fields_ = [("equal", c_size_t), ("unequal", c_size_t), ("other", c_size_t),
                ("exact_a", c_bool), ("exact_b", c_bool), ("unit_count", c_uint64),
                ("differing", c_uint64), ("hidden", c_uint64), ("given_away", c_uint64)]


change_fn = CFUNCTYPE(None, c_void_p, POINTER(AuditChange))

# ---- model.h ----


class ModelInfo(Structure):
    _fields_ = [("source_format", c_char_p), ("file_bytes", c_uint64), ("tensor_bytes", c_uint64),
                ("parameters", c_uint64), ("tensor_count", c_size_t),
                ("attachment_count", c_size_t), ("source_count", c_size_t),
                ("metadata_count", c_size_t)]


# ---- transform.h ----

LMODEL_SAMPLE_U8, LMODEL_SAMPLE_U16, LMODEL_SAMPLE_F32 = 0, 1, 2
(LMODEL_LAYOUT_AUTO, LMODEL_LAYOUT_HW, LMODEL_LAYOUT_NHW, LMODEL_LAYOUT_HWC, LMODEL_LAYOUT_CHW,
 LMODEL_LAYOUT_NHWC, LMODEL_LAYOUT_NCHW) = range(7)


class TransformInfo(Structure):
    _fields_ = [("method", c_char_p), ("block", c_uint), ("channels", c_uint), ("bits", c_double)]


class Images(Structure):
    _fields_ = [("sample", c_int), ("count", c_size_t), ("height", c_size_t), ("width", c_size_t),
                ("image_stride", c_size_t), ("row_stride", c_size_t),
                ("column_stride", c_size_t), ("channel_stride", c_size_t)]


class TransformOptions(Structure):
    _fields_ = [("inverse", c_bool), ("replace", c_bool), ("layout", c_int)]


# ---- functions: what they give, what they take; handles are void pointers ----

_A = _RING = _T = _M = c_void_p
_E = POINTER(Error)
_STRINGS = POINTER(c_char_p)
_RUN = POINTER(Run)

FUNCTIONS = {
    "lmodel_version": (c_char_p, []),
    "lmodel_open": (c_int, [POINTER(_A), c_char_p, _E]),
    "lmodel_close": (None, [_A]),
    "lmodel_info": (None, [_A, POINTER(Info)]),
    "lmodel_tensor_at": (POINTER(Tensor), [_A, c_size_t]),
    "lmodel_tensor_find": (POINTER(Tensor), [_A, c_char_p]),
    "lmodel_attachment_at": (POINTER(Attachment), [_A, c_size_t]),
    "lmodel_attachment_find": (POINTER(Attachment), [_A, c_char_p]),
    "lmodel_attachment_cat": (c_int, [_A, POINTER(Attachment), c_int, _RUN, _E]),
    "lmodel_source_at": (POINTER(Source), [_A, c_size_t]),
    "lmodel_metadata_at": (POINTER(Metadata), [_A, c_size_t]),
    "lmodel_tensor_read": (c_int, [_A, POINTER(Tensor), c_uint64, c_void_p, c_size_t, _E]),
    "lmodel_read_tensors": (c_int, [_A, POINTER(Read), c_size_t, _RUN, _E]),
    "lmodel_attachment_read": (c_int, [_A, POINTER(Attachment), c_uint64, c_void_p, c_size_t, _E]),
    "lmodel_match": (c_bool, [c_char_p, c_char_p]),
    "lmodel_escape": (c_size_t, [c_char_p, c_size_t, c_char_p]),
    "lmodel_keyring_new": (c_int, [POINTER(_RING), _E]),
    "lmodel_keyring_free": (None, [_RING]),
    "lmodel_keyring_ask": (None, [_RING, passphrase_fn, c_void_p]),
    "lmodel_keyring_add_file": (c_int, [_RING, c_char_p, _E]),
    "lmodel_keyring_add_passphrase": (c_int, [_RING, c_char_p, c_size_t, _E]),
    "lmodel_keyring_remember": (c_int, [_RING, c_char_p, c_bool, _E]),
    "lmodel_keygen": (c_int, [c_char_p, c_char_p, _E]),
    "lmodel_keyring_recipients": (c_int, [_RING, recipient_fn, c_void_p, _E]),
    "lmodel_tier_count": (c_size_t, [_A]),
    "lmodel_tier_at": (POINTER(Tier), [_A, c_size_t]),
    "lmodel_shard_count": (c_size_t, [_A]),
    "lmodel_shard_at": (c_int, [_A, c_size_t, POINTER(Shard)]),
    "lmodel_slot_count": (c_size_t, [_A]),
    "lmodel_slot_at": (POINTER(Slot), [_A, c_size_t]),
    "lmodel_unlock": (c_int, [_A, _RING, _E]),
    "lmodel_use_tier": (c_int, [_A, c_char_p, _E]),
    "lmodel_use_highest_present": (None, [_A]),
    "lmodel_tier_in_use": (POINTER(Tier), [_A]),
    "lmodel_grant": (c_int, [c_char_p, _RING, POINTER(Grantee), c_size_t, POINTER(GrantOptions),
                             POINTER(c_uint), _E]),
    "lmodel_revoke": (c_int, [c_char_p, _RING, POINTER(Revocation), c_size_t,
                              POINTER(RevokeOptions), POINTER(c_size_t), _E]),
    "lmodel_rekey": (c_int, [c_char_p, _RING, _STRINGS, c_size_t, POINTER(RekeyOptions), _E]),
    "lmodel_signature_count": (c_size_t, [_A]),
    "lmodel_signature_at": (POINTER(Signature), [_A, c_size_t]),
    "lmodel_sign": (c_int, [c_char_p, c_char_p, _E]),
    "lmodel_sign_import": (c_int, [c_char_p, c_char_p, c_char_p, _E]),
    "lmodel_check_signers": (c_int, [_A, c_char_p, POINTER(c_char_p), _E]),
    "lmodel_verify": (c_int, [_A, _RUN, finding_fn, POINTER(VerifyReport), _E]),
    "lmodel_repair": (c_int, [c_char_p, POINTER(c_int), _E]),
    "lmodel_diff": (c_int, [_A, _A, _RUN, diff_fn, POINTER(c_size_t), _E]),
    "lmodel_extract": (c_int, [_A, c_char_p, POINTER(ExtractOptions), _E]),
    "lmodel_cat": (c_int, [_A, POINTER(Tensor), c_int, c_bool, _RUN, _E]),
    "lmodel_pack": (c_int, [c_char_p, _STRINGS, c_size_t, POINTER(PackOptions), _E]),
    "lmodel_repack": (c_int, [c_char_p, c_char_p, POINTER(RepackOptions), _E]),
    "lmodel_strip": (c_int, [c_char_p, c_char_p, c_char_p, POINTER(StripOptions), _E]),
    "lmodel_positions": (c_int, [_A, POINTER(Tensor), c_char_p, POINTER(Positions), positions_fn,
                                 c_void_p, _E]),
    "lmodel_audit": (c_int, [_A, POINTER(AuditOptions), POINTER(POINTER(AuditReport)), _E]),
    "lmodel_audit_free": (None, [POINTER(AuditReport)]),
    "lmodel_audit_against": (c_int, [_A, _A, _RUN, change_fn, POINTER(AuditComparison), _E]),
    "lmodel_push": (c_int, [c_char_p, c_char_p, POINTER(PushOptions), POINTER(PushReport), _E]),
    "lmodel_pull": (c_int, [c_char_p, POINTER(PullOptions), POINTER(PullReport), _E]),
    "lmodel_pull_report_free": (None, [POINTER(PullReport)]),
    "lmodel_push_grant": (c_int, [c_char_p, c_char_p, c_char_p, c_size_t,
                                  POINTER(PushGrantOptions), c_char_p, _E]),
    "lmodel_model_kind": (c_char_p, [c_char_p]),
    "lmodel_model_open": (c_int, [POINTER(_M), c_char_p, _RUN, _E]),
    "lmodel_model_close": (None, [_M]),
    "lmodel_model_info": (None, [_M, POINTER(ModelInfo)]),
    "lmodel_model_tensor_at": (POINTER(Tensor), [_M, c_size_t]),
    "lmodel_model_attachment_at": (POINTER(Attachment), [_M, c_size_t]),
    "lmodel_model_source_at": (POINTER(Source), [_M, c_size_t]),
    "lmodel_model_metadata_at": (POINTER(Metadata), [_M, c_size_t]),
    "lmodel_transform_new": (c_int, [POINTER(_T), c_char_p, c_uint, c_uint, _E]),
    "lmodel_transform_parse": (c_int, [POINTER(_T), c_char_p, c_size_t, c_char_p, _E]),
    "lmodel_transform_load": (c_int, [POINTER(_T), c_char_p, _E]),
    "lmodel_transform_open": (c_int, [POINTER(_T), _A, c_char_p, _E]),
    "lmodel_transform_save": (c_int, [_T, c_char_p, _E]),
    "lmodel_transform_info": (POINTER(TransformInfo), [_T]),
    "lmodel_transform_free": (None, [_T]),
    "lmodel_transform_sample": (c_int, [_T, c_bool, c_int, POINTER(c_int), _E]),
    "lmodel_transform_apply": (c_int, [_T, c_bool, POINTER(Images), c_void_p, c_void_p, _E]),
    "lmodel_transform_file": (c_int, [_T, c_char_p, c_char_p, POINTER(TransformOptions), _RUN,
                                      _E]),
}
