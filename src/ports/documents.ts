/** Small documents of the index: accounts, tokens, rules, signing keys, jobs, syncs, quotas, webhooks, damaged blobs. */

/** What a document describes. The store does not look inside documents. */
export type DocumentKind =
  | 'account'
  | 'account-token'
  | 'session'
  | 'rule'
  | 'signing-key'
  | 'job'
  | 'retention'
  | 'sync'
  | 'sync-status'
  | 'quota'
  | 'webhook'
  | 'webhook-cursor'
  | 'webhook-delivery'
  | 'damage';

export interface Document {
  readonly id: string;
  readonly value: object;
}

/** Small documents by kind and id. */
export interface Documents {
  /** Every request asks for documents: a driver keeps them in memory. Callers cannot change what they get. */
  document(kind: DocumentKind, id: string): Promise<object | undefined>;
  /** Lists all documents of a kind, in byte order of the id. */
  documents(kind: DocumentKind): Promise<readonly Document[]>;
  /**
   * Returns a value that differs whenever a document of the kind may have changed, by this process or another. Read it
   * before the documents: then a change in between is noticed next time.
   */
  documentRevision(kind: DocumentKind): Promise<number | string>;
}
