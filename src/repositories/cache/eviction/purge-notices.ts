import type { Documents } from '../../../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../../../ports/metadata/metadata.js';
import type { Runtime } from '../../../ports/runtime.js';
import { follow } from '../../../util/scheduling/follow.js';

export interface NoticeParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
}

/** Tells other processes of the same index that a cache was purged, because their memory may have what it is to forget. */
export class PurgeNotices {
  readonly #parts: NoticeParts;

  constructor(parts: NoticeParts) {
    this.#parts = parts;
  }

  /** Announces a purge. Does nothing for an index of one process. */
  async announce(repository: string): Promise<void> {
    const { metadata, runtime } = this.#parts;
    if (metadata.shared === undefined) return;
    const change = {
      type: 'document.put',
      kind: 'cache-purge',
      id: repository,
      value: { id: runtime.newId() },
    } as const;
    await metadata.apply([change], { durable: false });
  }

  /** Calls `forget` after each purge by this or another process. Returns a function that ends it. */
  follow(forget: (repository: string) => void): () => Promise<void> {
    const { metadata, runtime } = this.#parts;
    let known: ReadonlyMap<string, string> | undefined;
    const reload = async (): Promise<void> => {
      const before = known;
      const notices = await metadata.documents('cache-purge');
      // Only this class stores documents of this kind.
      known = new Map(notices.map(({ id, value }) => [id, (value as { readonly id: string }).id]));
      if (before === undefined) return;
      for (const [repository, id] of known) if (before.get(repository) !== id) forget(repository);
    };
    return follow(metadata.shared, { kind: 'cache-purge', reload, log: runtime.log });
  }
}
