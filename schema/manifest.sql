-- The manifest of an .lmodel archive (spec: 3). This text is the one definition: the library
-- is compiled with it, and refuses a manifest whose schema differs from it by a byte.
-- Lists are numbered from 0 without gaps by their id. Offsets and lengths are bytes.

CREATE TABLE archive (
	id TEXT NOT NULL,                      -- UUID
	format INTEGER NOT NULL,               -- 1
	content_generation INTEGER NOT NULL,   -- rises when content or tier keys change
	created INTEGER NOT NULL,              -- seconds since 1970-01-01 UTC
	tool TEXT NOT NULL,                    -- what wrote it
	source_format TEXT NOT NULL,           -- 'safetensors'
	must_understand TEXT NOT NULL          -- features that a reader must know, one a line, sorted
) STRICT;

CREATE TABLE member (                          -- data in the tar: chunks, then their SHA-256 list
	id INTEGER PRIMARY KEY,
	path TEXT NOT NULL,                    -- name in the tar; '': in that of the row before
	offset INTEGER NOT NULL,               -- of its data in the file
	length INTEGER NOT NULL,               -- chunks, and the list of several
	bytes INTEGER NOT NULL,                -- raw
	coding TEXT NOT NULL,                  -- w1 w2 w4 w8 f2 f4 f8
	chunk_bytes INTEGER NOT NULL,          -- raw bytes a chunk; the last may be shorter
	chunks BLOB NOT NULL,                  -- u32 a chunk: method << 28 | stored length
	digest BLOB NOT NULL                   -- SHA-256 of the only chunk, or of the SHA-256 list
) STRICT;

CREATE TABLE source (                          -- an input file
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,                    -- relative path
	format TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	skeleton INTEGER NOT NULL              -- member: what the file holds besides tensors
) STRICT;

CREATE TABLE metadata (                        -- key-values of the inputs
	id INTEGER PRIMARY KEY,
	source INTEGER NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL
) STRICT;

CREATE TABLE tensor (                          -- in the order of the inputs' data
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	dtype TEXT NOT NULL,
	shape TEXT NOT NULL,                   -- [2,3]
	bytes INTEGER NOT NULL,                -- raw
	source INTEGER NOT NULL,
	member INTEGER,                        -- NULL for an alias
	alias INTEGER                          -- tensor with the same dtype and bytes, or NULL
) STRICT;

CREATE TABLE attachment (                      -- side files
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,                    -- relative path
	member INTEGER NOT NULL
) STRICT;

CREATE TABLE tier (                            -- lowest first
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	generation INTEGER NOT NULL,           -- rises when its key is replaced
	selection TEXT NOT NULL,               -- pss magnitude random all reference
	mask TEXT NOT NULL,                    -- dprm zero reference
	unit TEXT NOT NULL,                    -- default element slice row column block
	scope TEXT NOT NULL,                   -- equal model layer
	amount TEXT NOT NULL,                  -- as declared, cumulative
	key_commitment BLOB NOT NULL,
	position_commitment BLOB NOT NULL,
	key_mac BLOB NOT NULL,                 -- of the statement, for holders
	position_mac BLOB NOT NULL,            -- of the statement, for auditors
	positions_offset INTEGER,              -- of the data of shard/g<generation>/<name>/positions
	values_offset INTEGER                  -- and .../values; both NULL: absent
) STRICT;

CREATE TABLE shard (                           -- a tensor's share of a tier, by tier, then tensor
	id INTEGER PRIMARY KEY,
	tier INTEGER NOT NULL,
	tensor INTEGER NOT NULL,
	unit TEXT NOT NULL,                    -- element slice row column block tensor
	positions_length INTEGER NOT NULL,     -- ciphertext; the streams of a tier are back to back
	positions_digest BLOB NOT NULL,        -- SHA-256 of the ciphertext
	values_length INTEGER NOT NULL,
	values_digest BLOB NOT NULL
) STRICT;

CREATE TABLE sealed (                          -- side files in a tier, by tier
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,                    -- relative path
	tier INTEGER NOT NULL,
	length INTEGER NOT NULL,               -- ciphertext, behind the tier's value streams
	digest BLOB NOT NULL                   -- SHA-256 of the ciphertext
) STRICT;

CREATE TABLE key_slot (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,                    -- X25519 ssh-ed25519 passphrase
	grant BLOB NOT NULL,                   -- an age file
	identity BLOB                          -- passphrase: an age file, the identity that opens the grant
) STRICT;

CREATE TABLE owner (                           -- one row where there are tiers
	public_key BLOB NOT NULL,              -- Ed25519
	signature BLOB NOT NULL,               -- of the statement
	book_counter INTEGER NOT NULL,
	book BLOB NOT NULL                     -- who has which slot, sealed
) STRICT;

CREATE TABLE signature (                       -- of the statement, by publishers
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,                    -- sshsig minisign
	bytes BLOB NOT NULL                    -- the signature file
) STRICT;

CREATE TABLE dead (                            -- data of replaced members: never read
	offset INTEGER NOT NULL,
	length INTEGER NOT NULL,
	state TEXT NOT NULL                    -- pending (to be zeroed by the next writer), zero
) STRICT;

CREATE TABLE statement (
	text TEXT NOT NULL
) STRICT;
