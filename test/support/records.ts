import { ConflictError } from '../../src/util/conflict-error.js';
import type { MetadataStore, RecordKind } from '../../src/ports/metadata.js';

/** The records of a metadata store, in memory. */
export function memoryRecords(): Pick<MetadataStore, 'record' | 'records' | 'apply'> {
  const kept = new Map<string, { kind: RecordKind; id: string; value: object }>();
  return {
    record: (kind, id) => Promise.resolve(kept.get(`${kind}/${id}`)?.value),
    records: (kind) => {
      const found = [...kept.values()].filter((one) => one.kind === kind);
      return Promise.resolve(found.sort((a, b) => (a.id < b.id ? -1 : 1)));
    },
    apply: (changes, { require = [] }) => {
      for (const rule of require) {
        if (rule.type !== 'record') throw new Error(`no precondition of records: ${rule.type}`);
        if (kept.has(`${rule.kind}/${rule.id}`) !== (rule.is === 'present')) {
          return Promise.reject(new ConflictError(`${rule.kind} ${rule.id} is not ${rule.is}`));
        }
      }
      for (const change of changes) {
        // What goes through a store comes back without what JSON does not have.
        if (change.type === 'record.put') {
          const { kind, id } = change;
          kept.set(`${kind}/${id}`, { kind, id, value: JSON.parse(JSON.stringify(change.value)) as object });
        } else if (change.type === 'record.delete') kept.delete(`${change.kind}/${change.id}`);
        else throw new Error(`no change of records: ${change.type}`);
      }
      return Promise.resolve();
    },
  };
}
