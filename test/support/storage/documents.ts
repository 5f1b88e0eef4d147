import { ConflictError } from '../../../src/util/conflict-error.js';
import type { DocumentKind, Documents } from '../../../src/ports/documents.js';
import type { MetadataWriter } from '../../../src/ports/metadata.js';

/** Stores documents in memory. Throws on all other changes and preconditions. */
export function memoryDocuments(): Documents & MetadataWriter {
  let revision = 0;
  const kept = new Map<string, { kind: DocumentKind; id: string; value: object }>();
  const store: Documents & MetadataWriter = {
    document: (kind, id) => Promise.resolve(kept.get(`${kind}/${id}`)?.value),
    documents: (kind) => {
      const found = [...kept.values()].filter((one) => one.kind === kind);
      return Promise.resolve(found.sort((a, b) => (a.id < b.id ? -1 : 1)));
    },
    documentRevision: () => Promise.resolve(revision),
    tryApply: (changes, options) =>
      store.apply(changes, options).then(
        () => true,
        (error: unknown) => {
          if (error instanceof ConflictError) return false;
          throw error;
        },
      ),
    apply: (changes, { require = [] }) => {
      for (const rule of require) {
        if (rule.type !== 'document') throw new Error(`unsupported precondition: ${rule.type}`);
        if (kept.has(`${rule.kind}/${rule.id}`) !== (rule.is === 'present')) {
          return Promise.reject(new ConflictError(`${rule.kind} ${rule.id} is not ${rule.is}`));
        }
      }
      for (const change of changes) {
        // A real store returns documents after serialization, without values that JSON lacks.
        if (change.type === 'document.put') {
          const { kind, id } = change;
          kept.set(`${kind}/${id}`, { kind, id, value: JSON.parse(JSON.stringify(change.value)) as object });
        } else if (change.type === 'document.delete') kept.delete(`${change.kind}/${change.id}`);
        else throw new Error(`unsupported change: ${change.type}`);
      }
      revision += 1;
      return Promise.resolve();
    },
  };
  return store;
}
