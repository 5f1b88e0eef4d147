import { LRUCache } from 'lru-cache';
import type { IndexRow, RowPlace } from '../../index-rows.js';
import { sql, type Executor } from '../postgres-statement.js';

const putRepository = sql(`INSERT INTO repository (name, type, config, origin, created_at, updated_at, deleted_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`);
const putImages = sql(`INSERT INTO image (repository_id, name) SELECT * FROM unnest($1::bigint[], $2::text[])
  ON CONFLICT (repository_id, name) DO NOTHING`);
const readImages =
  sql(`SELECT i.id, w.position FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY w(repository_id, name, position)
  JOIN image i ON i.repository_id = w.repository_id AND i.name = w.name`);

/** Bounds the memory. A dropped id is read again. */
const maxKnown = 200_000;

/** The ids that repositories and images of the source get in the database. */
export class ImageIds {
  readonly #repositories = new Map<string, number>();
  readonly #images = new LRUCache<string, number>({ max: maxKnown });

  /** Creates the repositories and images of these rows. Called in a transaction of its own. */
  async ensure(session: Executor, rows: readonly IndexRow[]): Promise<void> {
    for (const row of rows) {
      if (row.table !== 'repository' && row.table !== 'deleted') continue;
      const [created] = await session.rows<{ id: number }>(putRepository, repositoryColumns(row));
      if (created !== undefined) this.#repositories.set(row.id, created.id);
    }
    const missing = new Map<string, RowPlace>();
    for (const row of rows) {
      if ('at' in row && this.#images.get(keyOf(row.at)) === undefined && this.#repositories.has(row.at.id))
        missing.set(keyOf(row.at), row.at);
    }
    const places = [...missing.values()];
    if (places.length === 0) return;
    const values = [places.map(({ id }) => this.#repositories.get(id)), places.map(({ image }) => image)];
    await session.rows(putImages, values);
    for (const { id, position } of await session.rows<{ id: number; position: number }>(readImages, values)) {
      const place = places[position - 1];
      if (place !== undefined) this.#images.set(keyOf(place), id);
    }
  }

  /** Returns the id of a repository; `undefined` for leftover rows of a deleted one. */
  repository(id: string): number | undefined {
    return this.#repositories.get(id);
  }

  /** Returns the id of an image for which `ensure` was called. */
  image(at: RowPlace): number | undefined {
    return this.#images.get(keyOf(at));
  }
}

function repositoryColumns(row: Extract<IndexRow, { table: 'repository' | 'deleted' }>): readonly unknown[] {
  // Nothing reads the settings of a deleted repository.
  if (row.table === 'deleted') return [`deleted-${row.id}`, 'local', '{}', 'managed', 0, 0, row.deletedAt];
  const { config, origin, createdAt, updatedAt } = row.record;
  return [config.name, config.type, JSON.stringify(config), origin, createdAt, updatedAt, null];
}

function keyOf({ id, image }: RowPlace): string {
  return `${id}\0${image}`;
}
