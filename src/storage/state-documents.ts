import type { DocumentKind } from '../ports/metadata/documents.js';

type StateKind =
  | 'session'
  | 'last-login'
  | 'job-cancel'
  | 'cache-purge'
  | 'sync-status'
  | 'webhook-cursor'
  | 'webhook-delivery'
  | 'storage-copy';

const states: ReadonlySet<DocumentKind> = new Set<StateKind>([
  'session',
  'last-login',
  'job-cancel',
  'cache-purge',
  'sync-status',
  'webhook-cursor',
  'webhook-delivery',
  'storage-copy',
]);

/** Returns whether documents of a kind are what the registry itself notes, which the journal does not record. */
export function isState(kind: DocumentKind): kind is StateKind {
  return states.has(kind);
}
