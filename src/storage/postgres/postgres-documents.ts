import type { Document, DocumentKind, Documents } from '../../ports/metadata/documents.js';
import type { Revisions } from './postgres-revisions.js';
import { sql, type Executor } from './postgres-statement.js';

// One statement, so that the revision is that of these documents.
const readKind = sql(`SELECT (SELECT value FROM revision WHERE kind = $1) AS revision, d.id, d.value
  FROM (SELECT $1::text AS kind) k LEFT JOIN document d ON d.kind = k.kind ORDER BY d.id`);
const readOne = sql('SELECT value FROM document WHERE kind = $1 AND id = $2');

interface KindRow {
  readonly revision: number | null;
  readonly id: string | null;
  readonly value: unknown;
}

/** All documents of a kind, as of a revision. */
interface LoadedKind {
  readonly revision: number;
  readonly byId: ReadonlyMap<string, object>;
  readonly all: readonly Document[];
}

/** How long an unknown document is not looked up in the database again. */
const missMs = 1000;
const maxMisses = 10_000;

/**
 * Keeps documents in memory, because every request reads them. Reads a kind again when its revision changes. Looks up a
 * document that is not in memory, so that one that another process has just created is found at once.
 */
export class PostgresDocuments implements Documents {
  readonly #reader: Executor;
  readonly #revisions: Revisions;
  readonly #kinds = new Map<string, Promise<LoadedKind>>();
  /** The times of lookups that did not find a document. */
  readonly #misses = new Map<string, number>();

  constructor(reader: Executor, revisions: Revisions) {
    this.#reader = reader;
    this.#revisions = revisions;
  }

  async document(kind: DocumentKind, id: string): Promise<object | undefined> {
    const found = (await this.#loaded(kind)).byId.get(id);
    if (found !== undefined) return found;
    const key = `${kind} ${id}`;
    const now = performance.now();
    if (now - (this.#misses.get(key) ?? -Infinity) < missMs) return undefined;
    const [row] = await this.#reader.rows<{ value: object }>(readOne, [kind, id]);
    if (row !== undefined) return freeze(row.value) as object;
    if (this.#misses.size >= maxMisses) this.#misses.clear();
    this.#misses.set(key, now);
    return undefined;
  }

  async documents(kind: DocumentKind): Promise<readonly Document[]> {
    return (await this.#loaded(kind)).all;
  }

  async documentRevision(kind: DocumentKind): Promise<number> {
    return (await this.#loaded(kind)).revision;
  }

  /** Reads kinds again on their next use. */
  forget(kinds: ReadonlySet<string>): void {
    for (const kind of kinds) this.#kinds.delete(kind);
    if (kinds.size > 0) this.#misses.clear();
  }

  async #loaded(kind: DocumentKind): Promise<LoadedKind> {
    await this.#revisions.trusted();
    let loading = this.#kinds.get(kind);
    if (loading === undefined) {
      loading = this.#load(kind);
      this.#kinds.set(kind, loading);
      // Failures are not cached.
      loading.catch(() => {
        if (this.#kinds.get(kind) === loading) this.#kinds.delete(kind);
      });
    }
    return loading;
  }

  async #load(kind: DocumentKind): Promise<LoadedKind> {
    const rows = await this.#reader.rows<KindRow>(readKind, [kind]);
    const all = rows.flatMap(({ id, value }) => (id === null ? [] : [{ id, value: freeze(value) as object }]));
    return { revision: rows[0]?.revision ?? 0, byId: new Map(all.map(({ id, value }) => [id, value])), all };
  }
}

/** Freezes a value and everything in it: documents have no static type that would keep a caller from changing them. */
function freeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}
