import type { Digest } from '../../../../protocol/digest.js';
import type { Attribution, JournalEntry, TagMove } from '../../../../ports/metadata/journal.js';
import type { Tag } from '../../../../protocol/names.js';
import { ConflictError } from '../../../../util/conflict-error.js';
import { wholeTime } from '../../reads/place.js';
import type { ImageDraft } from './image-draft.js';
import { Rows } from './rows.js';

/** Content, as its row has it. */
export interface BlobState {
  /** Absent for condemned content that no image held. */
  readonly size?: number;
  readonly isCondemned: boolean;
}

/** A move to add to the history of a tag. */
export interface DraftedMove {
  readonly image: ImageDraft;
  readonly tag: Tag;
  readonly move: TagMove;
}

type Details = Omit<JournalEntry, 'seq' | 'at' | 'type' | 'by'>;

/** The changes of a write besides the rows of its images. */
export class RegistryDraft {
  readonly by: Attribution | undefined;
  readonly blobs = new Rows<Digest, BlobState>('blob');
  readonly candidates = new Rows<Digest, number>('bytes_candidate');
  readonly entries: Omit<JournalEntry, 'seq'>[] = [];
  readonly moves: DraftedMove[] = [];
  /** Digests whose rows this write inserted when it locked them. */
  readonly inserted = new Map<Digest, number | undefined>();
  storedBytes = 0;

  constructor(by: Attribution | undefined) {
    this.by = by;
  }

  /** @throws ConflictError when the bytes are about to be deleted. */
  refuseCondemned(digest: Digest): void {
    if (this.blobs.get(digest)?.isCondemned === true) {
      throw new ConflictError(`the bytes of ${digest} are being deleted`);
    }
  }

  /** Counts content when an image gets it. */
  noteStored(digest: Digest, size: number): void {
    const blob = this.blobs.get(digest);
    if (blob?.size !== undefined) return;
    this.blobs.set(digest, { size, isCondemned: blob?.isCondemned ?? false });
    this.storedBytes += size;
  }

  condemn(digest: Digest): void {
    this.blobs.set(digest, { ...this.blobs.get(digest), isCondemned: true });
  }

  forget(digest: Digest, isDeleted: boolean): void {
    const blob = this.blobs.get(digest);
    if (blob?.size === undefined || (isDeleted && blob.isCondemned)) {
      this.blobs.delete(digest);
      this.storedBytes -= blob?.size ?? 0;
    } else if (blob.isCondemned) this.blobs.set(digest, { size: blob.size, isCondemned: false });
  }

  /** Adds a candidate for bytes, or moves it to a later time. */
  putCandidate(digest: Digest, since: number): void {
    // The stored time may be later than known here: see `write-registry.ts`.
    const before = this.candidates.isLoaded(digest) ? this.candidates.get(digest) : undefined;
    this.candidates.set(digest, Math.max(before ?? 0, wholeTime(since)));
  }

  record(type: JournalEntry['type'], details: Details): void {
    if (this.by === undefined) return;
    const { actor: by, at, override } = this.by;
    this.entries.push({ at, type, by, ...details, ...(override === true ? { override } : {}) });
  }

  /** Records that a tag names another digest, or none, and adds the move to the history of the tag. */
  recordMove(image: ImageDraft, tag: Tag, was: Digest | undefined, digest: Digest | undefined): void {
    if (this.by === undefined || was === digest) return;
    const digests = { ...(digest === undefined ? {} : { digest }), ...(was === undefined ? {} : { was }) };
    this.record(digest === undefined ? 'tag.deleted' : 'tag.moved', { ...image.at, tag, ...digests });
    const number = (image.moves.get(tag) ?? 0) + 1;
    image.moves.set(tag, number);
    this.moves.push({ image, tag, move: { move: number, at: this.by.at, by: this.by.actor, ...digests } });
  }
}
