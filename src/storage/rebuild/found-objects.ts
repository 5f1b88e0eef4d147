import type { BlobContent } from '../../ports/bytes.js';
import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';

/** Stored bytes that are found without an index. */
export interface FoundObject {
  /** A path or a key, for messages. */
  readonly name: string;
  /** When the bytes were stored. */
  readonly modifiedAt: number;
  /** The digest that the index already has for them, from an earlier run: it hashed them. */
  readonly recorded?: Digest | undefined;
  /** Returns `undefined` when they are gone. */
  open(): Promise<OpenedObject | undefined>;
}

/** The bytes of a found object. */
export interface OpenedObject {
  /** Rejects with BLOB_UNKNOWN or ENOENT when the bytes are gone. */
  readonly content: BlobContent;
  /** The digest that they had when they were stored, as far as the store knows. */
  readonly expected?: Digest | undefined;
  /** Records in the index that they have this digest. */
  record(digest: Digest): Promise<void>;
}

/** Where bytes are found. */
export interface ObjectSource {
  /**
   * Returns the other index to which they belong, if it is known.
   * @throws Error when they belong to another index and must not be adopted.
   */
  examine(ledger: ObjectLedger, adopts: boolean): Promise<string | undefined>;
  /** Makes them those of this index. */
  adopt(ledger: ObjectLedger): Promise<void>;
  /** Yields everything that is stored. Reads one page after the other. @param ledger absent in a dry run. */
  objects(ledger: ObjectLedger | undefined): AsyncIterable<FoundObject>;
}
