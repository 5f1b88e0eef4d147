/**
 * Small documents of the index: accounts, people, tokens, rules, signing keys, jobs, syncs, quotas, webhooks, damaged
 * blobs.
 */

/** The kind of a document. The store does not look inside documents. */
export type DocumentKind =
  | 'account'
  | 'account-token'
  | 'person'
  | 'last-login'
  | 'session'
  | 'rule'
  | 'signing-key'
  | 'job'
  | 'job-cancel'
  | 'retention'
  | 'sync'
  | 'sync-status'
  | 'quota'
  | 'webhook'
  | 'webhook-cursor'
  | 'webhook-delivery'
  | 'damage'
  /** That a cache was purged, for other processes of the same index. */
  | 'cache-purge'
  /** What fills this index before a registry starts: a copy of another registry, or a rebuild. */
  | 'storage-copy';

export interface Document {
  readonly id: string;
  readonly value: object;
}

/** Small documents by kind and id. */
export interface Documents {
  /** Every request reads documents, so a driver keeps them in memory. Callers cannot change the returned documents. */
  document(kind: DocumentKind, id: string): Promise<object | undefined>;
  /** Lists all documents of a kind, in byte order of the id. */
  documents(kind: DocumentKind): Promise<readonly Document[]>;
  /**
   * Returns a value that differs whenever a document of the kind may have changed, by this process or another. Read it
   * before the documents, so that a change in between is noticed next time.
   */
  documentRevision(kind: DocumentKind): Promise<number | string>;
}
