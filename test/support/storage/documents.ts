import { ConflictError } from '../../../src/util/conflict-error.js';
import type { Document, DocumentKind, Documents } from '../../../src/ports/metadata/documents.js';
import type { MetadataWriter } from '../../../src/ports/metadata/metadata.js';

/** Stores documents in memory. Throws on all other changes and preconditions. */
export function memoryDocuments(): Documents & MetadataWriter {
  let revision = 0;
  /** By kind, sorted by id. */
  const kept = new Map<DocumentKind, readonly Document[]>();
  const listOf = (kind: DocumentKind): readonly Document[] => kept.get(kind) ?? [];
  const find = (kind: DocumentKind, id: string): Document | undefined => listOf(kind).find((one) => one.id === id);
  const store: Documents & MetadataWriter = {
    document: (kind, id) => Promise.resolve(find(kind, id)?.value),
    documents: (kind) => Promise.resolve(listOf(kind)),
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
        if ((find(rule.kind, rule.id) !== undefined) !== (rule.is === 'present')) {
          return Promise.reject(new ConflictError(`${rule.kind} ${rule.id} is not ${rule.is}`));
        }
      }
      for (const change of changes) {
        // A real store returns documents after serialization, without values that JSON lacks.
        if (change.type === 'document.put') {
          const { kind, id } = change;
          const value = JSON.parse(JSON.stringify(change.value)) as object;
          const others = listOf(kind).filter((one) => one.id !== id);
          const next = others.findIndex((one) => one.id > id);
          kept.set(kind, others.toSpliced(next < 0 ? others.length : next, 0, { id, value }));
        } else if (change.type === 'document.delete') {
          kept.set(
            change.kind,
            listOf(change.kind).filter(({ id }) => id !== change.id),
          );
        } else throw new Error(`unsupported change: ${change.type}`);
      }
      revision += 1;
      return Promise.resolve();
    },
  };
  return store;
}
