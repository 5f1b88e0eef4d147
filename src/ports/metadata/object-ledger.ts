/**
 * `ObjectLedger`: the state that a blob store in an object store keeps in the index, because an object store has no atomic
 * writes over several objects. An object is written once, under a key that is never used again, and the ledger records the
 * key of each digest. Each object is in the ledger before its bytes are sent, so that a process that dies does not leave an
 * unknown object.
 */
import type { Algorithm, Digest } from '../../protocol/digest.js';

/** The object with the bytes of a digest. */
export interface ObjectPlace {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly storedAt: number;
}

/** An object, or a multipart upload that will become one. */
export interface StoredObject {
  readonly key: string;
  readonly uploadId?: string;
}

/** A part of a multipart upload. Numbers begin with 1 and may have gaps. */
export interface UploadedPart {
  readonly number: number;
  readonly size: number;
  readonly etag: string;
}

/** The bytes of an upload that no part holds yet, as an object of their own. */
export interface StagedTail {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

/** The state of a hash after all bytes of an upload. */
export interface SavedHash {
  readonly algorithm: Algorithm;
  /** Base64. */
  readonly state: string;
}

/** The bytes received for an upload: the parts, then the tail. */
export interface StagedBytes {
  /** The key that the multipart upload gets when it is complete. */
  readonly key: string;
  readonly uploadId?: string | undefined;
  readonly parts: readonly UploadedPart[];
  /**
   * The lowest number that was never given to a part: a request of a process that lost its claim may still arrive. Absent
   * when it is the number after the last part.
   */
  readonly nextPart?: number | undefined;
  readonly tail?: StagedTail | undefined;
  /**
   * All parts that the service has received, also those that the upload gave up, when it is about to join them or has joined them:
   * see `copyParts`.
   */
  readonly received?: readonly UploadedPart[] | undefined;
  /** The tail before the running append, which may return to it. */
  readonly formerTail?: StagedTail | undefined;
  /** The digest of all bytes. Absent when no process knows it. */
  readonly digest?: Digest | undefined;
  readonly hash?: SavedHash | undefined;
  readonly modifiedAt: number;
}

/** An upload. Each claim raises the epoch, and writes with an older epoch conflict. */
export interface StagedState extends StagedBytes {
  readonly id: string;
  readonly epoch: number;
}

/** Identifies a claim. */
export type StagedClaim = Pick<StagedState, 'id' | 'epoch'>;

/** The claimant of an upload. */
export interface ClaimOptions {
  /** Identifies the process. */
  readonly owner: string;
  /** The key of an upload that does not exist yet. */
  readonly key: string;
  readonly when: number;
  /** How long another process may hold the upload without a heartbeat. 0 takes it over at once. */
  readonly staleMs: number;
}

/** Further effects of `saveStaged` in the same write. */
export interface SaveStagedOptions {
  /** When the objects that the upload no longer names are deleted. */
  readonly until: number;
  /** Whether the claim ends. @default false */
  readonly isLast?: boolean;
}

/** Further effects of `putPlace` in the same write. */
export interface PutPlaceOptions {
  /** When the object that the digest had before is deleted: readers may still use it. */
  readonly until: number;
  /** The upload that ends. */
  readonly staged?: StagedClaim | undefined;
}

/** The progress of an audit. */
export interface AuditState {
  /** The number of steps that are done. */
  readonly step: number;
  /** When the last one was done. */
  readonly at: number;
}

/** Which objects `emptyTrash` deletes. */
export interface TrashDue {
  readonly now: number;
  readonly limit: number;
  readonly retryAt: number;
}

/** The state of an object store, kept by a driver of the index. Times are milliseconds since the epoch. */
export interface ObjectLedger {
  /**
   * In how many steps an audit reads all objects: more steps need less memory, but an index without an order by key reads all
   * objects for each.
   */
  readonly auditSteps: 16 | 256;
  /** Returns an id that is created once. A marker in the bucket has the same id. */
  storeId(): Promise<string>;
  place(digest: Digest): Promise<ObjectPlace | undefined>;
  /** Yields all places, in byte order of the digest. For audits. */
  places(): AsyncIterable<{ readonly digest: Digest; readonly place: ObjectPlace }>;
  /**
   * Records the object of a digest, durably and in one write: takes the object out of the trash, moves the former object of the
   * digest into it, revokes a condemnation, leaves a candidate since `storedAt`, and ends the upload.
   * @throws ConflictError when another process claimed the upload
   */
  putPlace(digest: Digest, place: ObjectPlace, options: PutPlaceOptions): Promise<void>;
  /**
   * Moves the object of a digest into the trash, durably. Returns false, and changes nothing, when the digest has another key
   * or none.
   */
  takePlace(digest: Digest, key: string, until: number): Promise<boolean>;
  staged(id: string): Promise<StagedState | undefined>;
  /** Yields all uploads, in byte order of the id. */
  allStaged(): AsyncIterable<StagedState>;
  /**
   * Claims an upload and returns its state; creates it if there is none. Returns `undefined` while another process holds it
   * and sends heartbeats. If the previous claim did not end, skips part numbers that its process may still use. A claim
   * lasts until it ends or another process makes one.
   */
  claimStaged(id: string, options: ClaimOptions): Promise<StagedState | undefined>;
  /** Signals to other processes that the holder of the claim makes progress. @throws ConflictError when the claim has ended */
  beatStaged(claim: StagedClaim): Promise<void>;
  /** Ends a claim. Does nothing when it has ended. */
  releaseStaged(claim: StagedClaim): Promise<void>;
  /**
   * Replaces the bytes of an upload, and sends a heartbeat. Takes the objects that the new bytes name out of the trash, and
   * moves those that only the former bytes name into it.
   * @throws ConflictError when another process claimed the upload, or ended it
   */
  saveStaged(claim: StagedClaim, bytes: StagedBytes, options: SaveStagedOptions): Promise<void>;
  /**
   * Ends an upload and moves its objects into the trash. Does nothing when there is none.
   * @throws ConflictError when another process claimed the upload
   */
  dropStaged(claim: StagedClaim, until: number): Promise<void>;
  /**
   * Yields the objects whose keys begin with a prefix: of places, uploads and the trash, in no particular order, with the
   * digest of a place. For audits.
   */
  objects(prefix: string): AsyncIterable<{ readonly key: string; readonly digest?: Digest | undefined }>;
  /** Returns the progress of the audit; `undefined` before the first one. */
  audit(): Promise<AuditState | undefined>;
  /** Replaces the state of the audit, unless another process did. */
  saveAudit(before: AuditState | undefined, state: AuditState): Promise<void>;
  /** Puts an object into the trash before it is written. Naming it later takes it out. */
  reserve(object: StoredObject, until: number): Promise<void>;
  /**
   * Deletes objects whose time has come: passes them to `remove`, and forgets them when it has resolved. It resolves to the
   * keys that could not be deleted, if any: they are due again at `retryAt`. Returns how many objects were due. Processes
   * that share the index get different objects.
   */
  emptyTrash(
    due: TrashDue,
    remove: (objects: readonly StoredObject[]) => Promise<ReadonlySet<string>>,
  ): Promise<number>;
}
