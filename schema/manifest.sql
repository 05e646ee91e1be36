-- The manifest of an .lmodel archive (spec: 3). The statements are the one definition: the library
-- is compiled with them, and refuses a manifest whose schema differs from them by a byte. What is
-- said of columns here stands outside of them, since each archive has the statements twice.
-- A table without rows is left out of an archive.
-- Lists are numbered from 0 without gaps by their id. Offsets and lengths are bytes.

-- id: UUID. format: 1. content_generation: rises when content or tier keys change. created: seconds
-- since 1970-01-01 UTC. tool: what wrote it. source_format: 'safetensors'. must_understand: features
-- that a reader must know, one a line, sorted.
CREATE TABLE archive (
	id TEXT NOT NULL,
	format INTEGER NOT NULL,
	content_generation INTEGER NOT NULL,
	created INTEGER NOT NULL,
	tool TEXT NOT NULL,
	source_format TEXT NOT NULL,
	must_understand TEXT NOT NULL
) STRICT;

-- Data in the tar: chunks, then their SHA-256 list. path: name in the tar; '': in that of the row
-- before. offset: in the file. length: of the chunks, and of the list where there are several.
-- bytes: raw. coding: w1 w2 w4 w8 f2 f4 f8. chunk_bytes: raw bytes a chunk; the last may be shorter.
-- chunks: u32 a chunk, method << 28 | stored length. digest: SHA-256 of the only chunk or of the list.
CREATE TABLE member (
	id INTEGER PRIMARY KEY,
	path TEXT NOT NULL,
	offset INTEGER NOT NULL,
	length INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	coding TEXT NOT NULL,
	chunk_bytes INTEGER NOT NULL,
	chunks BLOB NOT NULL,
	digest BLOB NOT NULL
) STRICT;

-- Input files. name: relative path. skeleton: member, what the file holds besides tensors.
CREATE TABLE source (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	format TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	skeleton INTEGER NOT NULL
) STRICT;

-- Key-values of the inputs.
CREATE TABLE metadata (
	id INTEGER PRIMARY KEY,
	source INTEGER NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL
) STRICT;

-- In the order of the inputs' data. shape: [2,3]. bytes: raw. member: NULL for an alias. alias:
-- tensor with the same dtype and bytes, or NULL.
CREATE TABLE tensor (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	dtype TEXT NOT NULL,
	shape TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	source INTEGER NOT NULL,
	member INTEGER,
	alias INTEGER
) STRICT;

-- Side files. name: relative path.
CREATE TABLE attachment (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	member INTEGER NOT NULL
) STRICT;

-- Lowest first. generation: rises when its key is replaced. selection: pss magnitude random all
-- reference. mask: dprm zero reference deep-lock perturb. unit: default element slice row column
-- block. scope: equal model layer. amount: as declared, cumulative. key_mac, position_mac: of the
-- statement, for holders and for auditors. positions_offset, values_offset: of the data of
-- shard/g<generation>/<name>/positions and .../values; both NULL: absent.
CREATE TABLE tier (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	generation INTEGER NOT NULL,
	selection TEXT NOT NULL,
	mask TEXT NOT NULL,
	unit TEXT NOT NULL,
	scope TEXT NOT NULL,
	amount TEXT NOT NULL,
	key_commitment BLOB NOT NULL,
	position_commitment BLOB NOT NULL,
	key_mac BLOB NOT NULL,
	position_mac BLOB NOT NULL,
	positions_offset INTEGER,
	values_offset INTEGER
) STRICT;

-- A tensor's share of a tier, by tier, then tensor. unit: element slice row column block tensor.
-- Lengths and SHA-256 digests are those of the ciphertext; the streams of a tier are back to back.
CREATE TABLE shard (
	id INTEGER PRIMARY KEY,
	tier INTEGER NOT NULL,
	tensor INTEGER NOT NULL,
	unit TEXT NOT NULL,
	positions_length INTEGER NOT NULL,
	positions_digest BLOB NOT NULL,
	values_length INTEGER NOT NULL,
	values_digest BLOB NOT NULL
) STRICT;

-- Side files in a tier, by tier. name: relative path. length, digest: of the ciphertext, which is
-- behind the tier's value streams.
CREATE TABLE sealed (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	tier INTEGER NOT NULL,
	length INTEGER NOT NULL,
	digest BLOB NOT NULL
) STRICT;

-- kind: X25519 ssh-ed25519 passphrase. grant: an age file. identity: for a passphrase an age file,
-- the identity that opens the grant.
CREATE TABLE key_slot (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	grant BLOB NOT NULL,
	identity BLOB
) STRICT;

-- One row where there are tiers. public_key: Ed25519. signature: of the statement. book: who has
-- which slot, sealed.
CREATE TABLE owner (
	public_key BLOB NOT NULL,
	signature BLOB NOT NULL,
	book_counter INTEGER NOT NULL,
	book BLOB NOT NULL
) STRICT;

-- Of the statement, by publishers. kind: sshsig minisign. bytes: the signature file.
CREATE TABLE signature (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	bytes BLOB NOT NULL
) STRICT;

-- Data of replaced members, which are never read. state: pending (to be zeroed by the next writer),
-- zero.
CREATE TABLE dead (
	offset INTEGER NOT NULL,
	length INTEGER NOT NULL,
	state TEXT NOT NULL
) STRICT;

CREATE TABLE statement (
	text TEXT NOT NULL
) STRICT;
