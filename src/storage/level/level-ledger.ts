/**
 * The state of a blob store in an object store, which shares this index. Places, uploads and trash are written like all other
 * keys.
 */
import { randomUUID } from 'node:crypto';
import type {
  AuditState,
  ClaimOptions,
  ObjectLedger,
  ObjectPlace,
  PutPlaceOptions,
  SaveStagedOptions,
  StagedBytes,
  StagedClaim,
  StagedState,
  StoredObject,
  TrashDue,
} from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import { ConflictError } from '../../util/conflict-error.js';
import { putCandidate } from './derived/level-candidates.js';
import type { ReadIndex } from './derived/level-inventory.js';
import { condemnedKey, rangeEnd } from './level-keys.js';
import {
  auditKey,
  objectDueKey,
  objectsDueAt,
  objectTrashKey,
  objectTrashPrefix,
  parseObjectDueKey,
  placeKey,
  placePrefix,
  stagedKey,
  stagedPrefix,
  storeIdKey,
  type HeldState,
  type TrashedObject,
} from './level-ledger-keys.js';
import { objectsOf, skipParts } from '../staged-bytes.js';
import { decodeValue, type LevelView } from './level-view.js';
import type { LevelWriter } from './writes/level-writer.js';

const pageSize = 1000;

/** The ledger of an object store, in the index of one process: no claim of an earlier process counts. */
export class LevelLedger implements ObjectLedger {
  readonly auditSteps = 16;
  readonly #read: ReadIndex;
  readonly #writer: LevelWriter;
  /** Who holds which upload. */
  readonly #holders = new Map<string, { readonly owner: string; beatAt: number }>();

  constructor({ read, writer }: { readonly read: ReadIndex; readonly writer: LevelWriter }) {
    this.#read = read;
    this.#writer = writer;
  }

  async storeId(): Promise<string> {
    const known = await this.#read((index) => index.get(storeIdKey));
    if (known !== undefined) return known;
    let id: string = randomUUID();
    await this.#writer.run(async (view) => {
      id = view.get(storeIdKey) ?? id;
      view.put(storeIdKey, id);
    }, true);
    return id;
  }

  async place(digest: Digest): Promise<ObjectPlace | undefined> {
    return this.#read((index) => index.get(placeKey(digest)));
  }

  async *places(): AsyncGenerator<{ digest: Digest; place: ObjectPlace }> {
    for await (const [key, place] of this.#all<ObjectPlace>(placePrefix)) {
      // `placeKey` built it.
      yield { digest: key.slice(placePrefix.length) as Digest, place };
    }
  }

  async putPlace(digest: Digest, place: ObjectPlace, { until, staged }: PutPlaceOptions): Promise<void> {
    await this.#writer.run(async (view) => {
      const former = view.get(placeKey(digest));
      // The upload goes first: its objects, of which one becomes the place, move into the trash.
      if (staged !== undefined) this.#endStaged(view, staged, until);
      if (former !== undefined && former.key !== place.key) putTrash(view, { key: former.key }, until);
      takeOutOfTrash(view, place.key);
      view.put(placeKey(digest), place);
      view.delete(condemnedKey(digest));
      putCandidate(view, { kind: 'bytes', digest }, place.storedAt);
    }, true);
  }

  async takePlace(digest: Digest, key: string, until: number): Promise<boolean> {
    let isTaken = false;
    await this.#writer.run(async (view) => {
      isTaken = view.get(placeKey(digest))?.key === key;
      if (!isTaken) return;
      view.delete(placeKey(digest));
      putTrash(view, { key }, until);
    }, true);
    return isTaken;
  }

  async staged(id: string): Promise<StagedState | undefined> {
    const state = await this.#read((index) => index.get(stagedKey(id)));
    return state && withoutHolder(state);
  }

  async *allStaged(): AsyncGenerator<StagedState> {
    for await (const [, state] of this.#all<HeldState>(stagedPrefix)) yield withoutHolder(state);
  }

  async claimStaged(id: string, { owner, key, when, staleMs }: ClaimOptions): Promise<StagedState | undefined> {
    const holder = this.#holders.get(id);
    if (holder !== undefined && holder.owner !== owner && performance.now() - holder.beatAt < staleMs) return undefined;
    this.#holders.set(id, { owner, beatAt: performance.now() });
    let claimed: StagedState = { id, epoch: 1, key, parts: [], modifiedAt: when };
    await this.#writer.run(async (view) => {
      const before = view.get(stagedKey(id));
      if (before !== undefined) {
        const { isHeld, ...bytes } = before;
        claimed = { ...(isHeld ? skipParts(bytes) : bytes), id, epoch: before.epoch + 1 };
      }
      view.put(stagedKey(id), { ...claimed, isHeld: true });
    }, false);
    return claimed;
  }

  async beatStaged({ id, epoch }: StagedClaim): Promise<void> {
    const state = await this.#read((index) => index.get(stagedKey(id)));
    const holder = this.#holders.get(id);
    if (state?.epoch !== epoch || holder === undefined) throw new ConflictError(`upload ${id} was claimed again`);
    holder.beatAt = performance.now();
  }

  releaseStaged({ id, epoch }: StagedClaim): Promise<void> {
    return this.#writer.run(async (view) => {
      const state = view.get(stagedKey(id));
      if (state?.epoch !== epoch) return;
      this.#holders.delete(id);
      view.put(stagedKey(id), { ...state, isHeld: false });
    }, false);
  }

  /** Not durable, like the bytes of an upload in a file: a power cut may take the last ones back. */
  saveStaged(
    { id, epoch }: StagedClaim,
    bytes: StagedBytes,
    { until, isLast = false }: SaveStagedOptions,
  ): Promise<void> {
    return this.#writer.run(async (view) => {
      const before = claimedState(view, { id, epoch });
      if (before === undefined) throw new ConflictError(`upload ${id} has ended`);
      for (const object of objectsOf(before)) putTrash(view, object, until);
      for (const { key } of objectsOf(bytes)) takeOutOfTrash(view, key);
      view.put(stagedKey(id), { ...bytes, id, epoch, isHeld: !isLast });
      const holder = this.#holders.get(id);
      if (isLast) this.#holders.delete(id);
      else if (holder !== undefined) holder.beatAt = performance.now();
    }, false);
  }

  dropStaged(claim: StagedClaim, until: number): Promise<void> {
    return this.#writer.run(async (view) => this.#endStaged(view, claim, until), false);
  }

  async *objects(prefix: string): AsyncGenerator<{ key: string; digest?: Digest }> {
    // An object goes from an upload to a place, and from there to the trash: read in this order, none is missed.
    for await (const state of this.allStaged()) {
      for (const { key } of [{ key: state.key }, ...objectsOf(state)]) if (key.startsWith(prefix)) yield { key };
    }
    for await (const { digest, place } of this.places()) if (place.key.startsWith(prefix)) yield { ...place, digest };
    for await (const [, { key }] of this.#all<TrashedObject>(objectTrashPrefix))
      if (key.startsWith(prefix)) yield { key };
  }

  async audit(): Promise<AuditState | undefined> {
    return this.#read((index) => index.get(auditKey));
  }

  saveAudit(before: AuditState | undefined, state: AuditState): Promise<void> {
    return this.#writer.run(async (view) => {
      if (view.get(auditKey)?.step === before?.step) view.put(auditKey, state);
    }, false);
  }

  reserve(object: StoredObject, until: number): Promise<void> {
    return this.#writer.run(async (view) => putTrash(view, object, until), false);
  }

  async emptyTrash(
    { now, limit, retryAt }: TrashDue,
    remove: (objects: readonly StoredObject[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    const due = await this.#read(async (index) => {
      const keys = await index.scanKeys(objectsDueAt(now), limit, parseObjectDueKey);
      return keys.map((key) => index.get(objectTrashKey(key))).filter((object) => object !== undefined);
    });
    if (due.length === 0) return 0;
    const objects = due.map(({ key, uploadId }) => (uploadId === undefined ? { key } : { key, uploadId }));
    const kept = await remove(objects);
    await this.#writer.run(async (view) => {
      for (const object of objects) {
        if (kept.has(object.key)) putTrash(view, object, retryAt);
        else takeOutOfTrash(view, object.key);
      }
    }, false);
    return due.length;
  }

  #endStaged(view: LevelView, claim: StagedClaim, until: number): void {
    const state = claimedState(view, claim);
    if (state === undefined) return;
    for (const object of objectsOf(state)) putTrash(view, object, until);
    view.delete(stagedKey(claim.id));
    this.#holders.delete(claim.id);
  }

  async *#all<T>(prefix: string): AsyncGenerator<readonly [string, T]> {
    for (let after = prefix; ;) {
      const page = await this.#read((index) =>
        index.scan(
          { gt: after, lt: rangeEnd(prefix) },
          pageSize,
          (key, text) => [key, decodeValue(text) as T] as const,
        ),
      );
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      after = last[0];
    }
  }
}

function withoutHolder({ isHeld: _isHeld, ...state }: HeldState): StagedState {
  return state;
}

/** Returns the state of an upload; `undefined` when it has ended. @throws ConflictError when it was claimed again. */
function claimedState(view: LevelView, { id, epoch }: StagedClaim): StagedState | undefined {
  const state = view.get(stagedKey(id));
  if (state !== undefined && state.epoch !== epoch) throw new ConflictError(`upload ${id} was claimed again`);
  return state;
}

function putTrash(view: LevelView, object: StoredObject, until: number): void {
  takeOutOfTrash(view, object.key);
  view.put(objectTrashKey(object.key), { ...object, until });
  view.put(objectDueKey(object.key, until), '');
}

function takeOutOfTrash(view: LevelView, key: string): void {
  const trashed = view.get(objectTrashKey(key));
  if (trashed === undefined) return;
  view.delete(objectTrashKey(key));
  view.delete(objectDueKey(key, trashed.until));
}
