import type { SessionId } from '../../../protocol/names.js';
import type { RepositoryConfig } from '../../../protocol/settings/repository-config.js';
import type { CacheItem, CacheRecords } from '../../../ports/metadata/cache-records.js';
import type {
  RepositoryRecord,
  RepositoryRecords,
  SessionRecord,
  UploadRecords,
} from '../../../ports/metadata/metadata.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor } from '../postgres-statement.js';

const repositoryColumns = 'config, origin, created_at, updated_at';
const readRepositories = sql(`SELECT ${repositoryColumns} FROM repository WHERE deleted_at IS NULL ORDER BY name`);
const readRepository = sql(`SELECT ${repositoryColumns} FROM repository WHERE name = $1 AND deleted_at IS NULL`);
const sessionColumns = 's.id, r.name AS repository, s.image, s.started_at, s.algorithm';
// Sessions of a deleted repository disappear with the name.
const fromSessions = 'FROM upload_session s JOIN repository r ON r.id = s.repository_id WHERE r.deleted_at IS NULL';
const readSession = sql(`SELECT ${sessionColumns} ${fromSessions} AND s.id = $1`);
const readSessions = sql(`SELECT ${sessionColumns} ${fromSessions} AND s.id > $1 ORDER BY s.id LIMIT $2`);
const readOldest = sql(`SELECT t.at, i.name AS image, t.digest, m.size AS manifest, l.size AS link
  FROM repository r JOIN touched t ON t.repository_id = r.id JOIN image i ON i.id = t.image_id
    LEFT JOIN manifest m ON m.image_id = t.image_id AND m.digest = t.digest
    LEFT JOIN link l ON l.image_id = t.image_id AND l.digest = t.digest
  WHERE r.name = $1 AND r.deleted_at IS NULL AND t.at >= $2 AND (t.at, i.name, t.digest) > ($2, $3, $4)
    AND (m.size IS NOT NULL OR l.size IS NOT NULL)
  ORDER BY t.at, i.name, t.digest LIMIT $5`);
const readUsage = sql(`SELECT coalesce(sum(i.bytes), 0)::bigint AS bytes
  FROM repository r JOIN image i ON i.repository_id = r.id WHERE r.name = $1 AND r.deleted_at IS NULL`);

const sessionsPerPage = 1000;

interface RepositoryRow {
  readonly config: RepositoryConfig;
  readonly origin: RepositoryRecord['origin'];
  readonly created_at: number;
  readonly updated_at: number;
}

interface SessionRow {
  readonly id: SessionId;
  readonly repository: string;
  readonly image: string;
  readonly started_at: number;
  readonly algorithm: SessionRecord['algorithm'];
}

interface OldestRow {
  readonly at: number;
  readonly image: string;
  readonly digest: Buffer;
  readonly manifest: number | null;
  readonly link: number | null;
}

/** Reads repositories, uploads and the content of caches. */
export class RegistryReads implements RepositoryRecords, UploadRecords, CacheRecords {
  readonly #reader: Executor;

  constructor(reader: Executor) {
    this.#reader = reader;
  }

  async repositories(): Promise<readonly RepositoryRecord[]> {
    return (await this.#reader.rows<RepositoryRow>(readRepositories)).map(toRepository);
  }

  async repository(name: string): Promise<RepositoryRecord | undefined> {
    const [row] = await this.#reader.rows<RepositoryRow>(readRepository, [name]);
    return row && toRepository(row);
  }

  async session(id: SessionId): Promise<SessionRecord | undefined> {
    const [row] = await this.#reader.rows<SessionRow>(readSession, [id]);
    return row && toSession(row);
  }

  async *sessions(): AsyncGenerator<SessionRecord> {
    let rows: readonly SessionRow[];
    let after = '';
    do {
      rows = await this.#reader.rows<SessionRow>(readSessions, [after, sessionsPerPage]);
      for (const row of rows) yield toSession(row);
      after = rows.at(-1)?.id ?? after;
    } while (rows.length === sessionsPerPage);
  }

  async evictable(
    repository: string,
    { limit, after }: { readonly limit: number; readonly after?: CacheItem },
  ): Promise<readonly CacheItem[]> {
    const position = after ? [after.touchedAt, after.at.image, encodeDigest(after.digest)] : [-1, '', Buffer.alloc(0)];
    const rows = await this.#reader.rows<OldestRow>(readOldest, [repository, ...position, limit]);
    return rows.map(({ at, image, digest, manifest, link }): CacheItem => ({
      kind: manifest === null ? 'link' : 'manifest',
      at: { repository, image },
      digest: decodeDigest(digest),
      // One of the two exists.
      size: manifest ?? link ?? 0,
      touchedAt: at,
    }));
  }

  async usage(repository: string): Promise<number> {
    const [row] = await this.#reader.rows<{ bytes: number }>(readUsage, [repository]);
    return row?.bytes ?? 0;
  }
}

function toRepository({ config, origin, created_at, updated_at }: RepositoryRow): RepositoryRecord {
  return { config, origin, createdAt: created_at, updatedAt: updated_at };
}

function toSession({ id, repository, image, started_at, algorithm }: SessionRow): SessionRecord {
  return { id, at: { repository, image }, startedAt: started_at, algorithm };
}
