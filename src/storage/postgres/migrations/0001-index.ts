/**
 * Version 1. Digests are bytes (`postgres-digest.ts`), names are text in byte order, times are milliseconds by the clocks
 * of the nodes; only claims and leases use the clock of the database. The row of an image is the lock for all rows derived
 * from its content. The row of a blob is the lock that keeps a blob from being referred to and deleted at the same time. Large
 * tables are partitioned from the start, because splitting them later means rewriting them. `json`, not `jsonb`: documents are
 * returned exactly as they were stored.
 */
export function createIndex(partitions: number): readonly string[] {
  const content = [...imageTables(partitions), ...manifestTables(partitions), ...objectTables(partitions)];
  return [...registryTables, ...content, ...orderedTables];
}

const registryTables: readonly string[] = [
  // One row per kind of document, and one for repositories: its lock orders the writes of the kind.
  'CREATE TABLE revision (kind text PRIMARY KEY, value bigint NOT NULL DEFAULT 0)',
  `CREATE TABLE document (kind text COLLATE "C", id text COLLATE "C", value json NOT NULL, PRIMARY KEY (kind, id))`,
  `CREATE TABLE repository (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL,
    type text NOT NULL, config json NOT NULL, origin text NOT NULL, created_at bigint NOT NULL,
    updated_at bigint NOT NULL, deleted_at bigint)`,
  'CREATE UNIQUE INDEX repository_name ON repository (name) WHERE deleted_at IS NULL',
  'CREATE INDEX repository_deleted ON repository (id) WHERE deleted_at IS NOT NULL',
  `CREATE TABLE upload_session (id text COLLATE "C" PRIMARY KEY, repository_id bigint NOT NULL,
    image text COLLATE "C" NOT NULL, started_at bigint NOT NULL, algorithm text NOT NULL)`,
  'CREATE INDEX upload_session_repository ON upload_session (repository_id)',
  'CREATE TABLE health (single boolean PRIMARY KEY DEFAULT true CHECK (single), number bigint NOT NULL DEFAULT 0)',
  'INSERT INTO health DEFAULT VALUES',
  `CREATE TABLE lease (name text COLLATE "C" PRIMARY KEY, holder uuid NOT NULL, until timestamptz NOT NULL)`,
  // Failed logins, as the time when their count has decayed. A crash that loses them only allows a few more guesses.
  'CREATE UNLOGGED TABLE login_failure (key bytea PRIMARY KEY, until timestamptz NOT NULL)',
  'CREATE INDEX login_failure_until ON login_failure (until)',
  // A row is the lock of the quotas with these names.
  'CREATE TABLE quota_lock (key bytea PRIMARY KEY)',
];

/** An image keeps its row when it is empty, because candidates and the history of tags may outlive its content. */
function imageTables(partitions: number): readonly string[] {
  const byImage = inImages(partitions);
  return [
    // The only foreign key: it makes a purge fail if a late write added an image. Counts are not indexed, so that most updates
    // stay inside their page.
    `CREATE TABLE image (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      repository_id bigint NOT NULL REFERENCES repository, name text COLLATE "C" NOT NULL,
      manifests bigint NOT NULL DEFAULT 0, tags bigint NOT NULL DEFAULT 0, links bigint NOT NULL DEFAULT 0,
      trashed bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0, updated_at bigint NOT NULL DEFAULT 0,
      pushed_at bigint NOT NULL DEFAULT 0, UNIQUE (repository_id, name)) WITH (fillfactor = 70)`,
    // Content that an image held and that was not deleted. A row without a size is condemned content that no image held.
    ...partition(
      `CREATE TABLE blob (digest bytea PRIMARY KEY, size bigint, condemned_at timestamptz) PARTITION BY HASH (digest)`,
      'blob',
      partitions,
    ),
    'CREATE INDEX blob_condemned ON blob (digest) WHERE condemned_at IS NOT NULL',
    ...byImage(
      'link',
      `digest bytea, size bigint NOT NULL, linked_at bigint NOT NULL,
      in_trash boolean NOT NULL DEFAULT false, PRIMARY KEY (image_id, digest)`,
    ),
    'CREATE INDEX link_digest ON link (digest)',
    ...byImage(
      'unlinked',
      'digest bytea, size bigint NOT NULL, linked_at bigint NOT NULL, PRIMARY KEY (image_id, digest)',
    ),
    'CREATE INDEX unlinked_digest ON unlinked (digest)',
  ];
}

function manifestTables(partitions: number): readonly string[] {
  const byImage = inImages(partitions);
  return [
    ...byImage(
      'manifest',
      `digest bytea, size bigint NOT NULL, subject bytea, record json NOT NULL,
      PRIMARY KEY (image_id, digest)`,
    ),
    'CREATE INDEX manifest_digest ON manifest (digest)',
    'CREATE INDEX manifest_subject ON manifest (image_id, subject, digest) WHERE subject IS NOT NULL',
    ...byImage(
      'trashed',
      `digest bytea, repository_id bigint NOT NULL, size bigint NOT NULL, until bigint NOT NULL,
      item json NOT NULL, PRIMARY KEY (image_id, digest)`,
    ),
    'CREATE INDEX trashed_digest ON trashed (digest)',
    'CREATE INDEX trashed_until ON trashed (until)',
    'CREATE INDEX trashed_repository ON trashed (repository_id, until)',
    // Digest -> manifests of the image, or of its trash, that name it.
    ...byImage(
      'named',
      `digest bytea, manifest bytea, in_trash boolean NOT NULL DEFAULT false,
      PRIMARY KEY (image_id, digest, manifest)`,
    ),
    ...byImage(
      'tag',
      `name text COLLATE "C", digest bytea NOT NULL, updated_at bigint NOT NULL, checked_at bigint,
      PRIMARY KEY (image_id, name)`,
    ),
    'CREATE INDEX tag_digest ON tag (image_id, digest)',
    ...byImage(
      'tag_move',
      `tag text COLLATE "C", number bigint, at bigint NOT NULL, was bytea, move json NOT NULL,
      PRIMARY KEY (image_id, tag, number)`,
    ),
    ...byImage('pulled', 'digest bytea, record json NOT NULL, PRIMARY KEY (image_id, digest)'),
    ...byImage(
      'touched',
      `digest bytea, repository_id bigint NOT NULL, at bigint NOT NULL,
      PRIMARY KEY (image_id, digest)`,
    ),
    'CREATE INDEX touched_oldest ON touched (repository_id, at)',
  ];
}

/** The state of a blob store in an object store; see `ObjectLedger`. */
function objectTables(partitions: number): readonly string[] {
  return [
    ...partition(
      `CREATE TABLE place (digest bytea PRIMARY KEY, key text COLLATE "C" NOT NULL, size bigint NOT NULL,
        etag text NOT NULL, stored_at bigint NOT NULL) PARTITION BY HASH (digest)`,
      'place',
      partitions,
    ),
    `CREATE TABLE staged (id text COLLATE "C" PRIMARY KEY, epoch bigint NOT NULL, owner text,
      beat_at timestamptz NOT NULL, bytes json NOT NULL)`,
    `CREATE TABLE object_trash (key text COLLATE "C" PRIMARY KEY, upload_id text, until bigint NOT NULL)`,
    'CREATE INDEX object_trash_until ON object_trash (until, key)',
    'CREATE INDEX place_key ON place (key)',
    'CREATE TABLE object_audit (single boolean PRIMARY KEY DEFAULT true CHECK (single), state json NOT NULL)',
  ];
}

const orderedTables: readonly string[] = [
  `CREATE TABLE link_candidate (image_id bigint, digest bytea, since bigint NOT NULL,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity', PRIMARY KEY (image_id, digest))`,
  'CREATE INDEX link_candidate_since ON link_candidate (since)',
  `CREATE TABLE bytes_candidate (digest bytea PRIMARY KEY, since bigint NOT NULL,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity')`,
  'CREATE INDEX bytes_candidate_since ON bytes_candidate (since)',
  // The sum of all stored content, as changes that are added up from time to time: a single row would be a lock that all
  // pushes wait for.
  'CREATE TABLE stored_change (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, bytes bigint NOT NULL)',
  'CREATE TABLE journal (seq bigint PRIMARY KEY, at bigint NOT NULL, entry json NOT NULL)',
  `CREATE TABLE journal_position (single boolean PRIMARY KEY DEFAULT true CHECK (single), last bigint NOT NULL DEFAULT 0,
    trimmed_to bigint NOT NULL DEFAULT 0)`,
  'INSERT INTO journal_position DEFAULT VALUES',
  'CREATE TABLE sample (step text, at bigint, value json NOT NULL, PRIMARY KEY (step, at))',
];

/** Returns a function that creates a table whose rows belong to images. */
function inImages(partitions: number): (name: string, columns: string) => string[] {
  return (name, columns) =>
    partition(
      `CREATE TABLE ${name} (image_id bigint NOT NULL, ${columns}) PARTITION BY HASH (image_id)`,
      name,
      partitions,
    );
}

function partition(create: string, name: string, partitions: number): string[] {
  const parts = Array.from(
    { length: partitions },
    (_, i) => `CREATE TABLE ${name}_${i} PARTITION OF ${name} FOR VALUES WITH (MODULUS ${partitions}, REMAINDER ${i})`,
  );
  return [create, ...parts];
}
