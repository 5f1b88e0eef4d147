import type { Key, Prefix } from './level-keys.js';

/** What a view stands on: the index as it was last written. Members are the rest of a key after its prefix. */
export interface LevelBase {
  get<T>(key: Key<T>): T | undefined;
  /** In byte order. */
  members(prefix: Prefix, limit?: number): Promise<string[]>;
  hasMembers(prefix: Prefix): Promise<boolean>;
}

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: unknown; readonly text: string }
  | { readonly type: 'del'; readonly key: string };

/** One layer of writes. `undefined` stands for a deletion. */
class Layer {
  readonly values = new Map<string, unknown>();
  /** By prefix, so that asking for a list never looks through all writes. */
  readonly members = new Map<Prefix, Map<string, boolean>>();

  mergeInto(below: Layer): void {
    for (const [key, value] of this.values) below.values.set(key, value);
    for (const [prefix, members] of this.members) {
      const target = below.members.get(prefix);
      if (target === undefined) below.members.set(prefix, members);
      else for (const [member, present] of members) target.set(member, present);
    }
  }
}

/**
 * The index as one group of writes sees it: what is written, the group's accepted writes, and a draft of the present one
 * on top, which is kept or dropped as a whole.
 */
export class LevelView {
  readonly #base: LevelBase;
  readonly #kept = new Layer();
  #draft = new Layer();

  constructor(base: LevelBase) {
    this.#base = base;
  }

  get<T>(key: Key<T>): T | undefined {
    for (const layer of [this.#draft, this.#kept]) {
      const value = layer.values.get(key);
      if (value !== undefined || layer.values.has(key)) return value as T | undefined;
    }
    return this.#base.get(key);
  }

  put<T>(key: Key<T>, value: T): void {
    this.#draft.values.set(key, value);
  }

  delete(key: Key<unknown>): void {
    this.#draft.values.set(key, undefined);
  }

  /** For keys that came out of a scan. */
  deleteRaw(key: string): void {
    this.#draft.values.set(key, undefined);
  }

  addMember(prefix: Prefix, member: string): void {
    this.#setMember(prefix, member, true);
  }

  removeMember(prefix: Prefix, member: string): void {
    this.#setMember(prefix, member, false);
  }

  async hasMembers(prefix: Prefix): Promise<boolean> {
    const written = this.#writtenMembers(prefix);
    let removed = 0;
    for (const present of written.values()) {
      if (present) return true;
      removed += 1;
    }
    if (removed === 0) return this.#base.hasMembers(prefix);
    // One more than were removed: if that many are there, one of them stays.
    const below = await this.#base.members(prefix, removed + 1);
    return below.some((member) => !written.has(member));
  }

  /** In no order. */
  async members(prefix: Prefix): Promise<string[]> {
    const written = this.#writtenMembers(prefix);
    const below = (await this.#base.members(prefix)).filter((member) => !written.has(member));
    return [...below, ...[...written].filter(([, present]) => present).map(([member]) => member)];
  }

  /** Accepts the draft. */
  keep(): void {
    this.#draft.mergeInto(this.#kept);
    this.#draft = new Layer();
  }

  drop(): void {
    this.#draft = new Layer();
  }

  /** All accepted writes, each key once; `text` is the value as it goes to the disk. */
  operations(): Operation[] {
    const operations: Operation[] = [];
    for (const [key, value] of this.#kept.values) {
      operations.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value, text: encode(value) });
    }
    for (const [prefix, members] of this.#kept.members) {
      for (const [member, present] of members) {
        const key = prefix + member;
        operations.push(present ? { type: 'put', key, value: '', text: '' } : { type: 'del', key });
      }
    }
    return operations;
  }

  #setMember(prefix: Prefix, member: string, present: boolean): void {
    let members = this.#draft.members.get(prefix);
    if (members === undefined) this.#draft.members.set(prefix, (members = new Map<string, boolean>()));
    members.set(member, present);
  }

  #writtenMembers(prefix: Prefix): ReadonlyMap<string, boolean> {
    const kept = this.#kept.members.get(prefix);
    const draft = this.#draft.members.get(prefix);
    if (kept === undefined) return draft ?? new Map<string, boolean>();
    return draft === undefined ? kept : new Map([...kept, ...draft]);
  }
}

function encode(value: unknown): string {
  return value === '' ? '' : JSON.stringify(value);
}

/** The inverse of how operations write a value. */
export function decodeValue(text: string): unknown {
  return text === '' ? '' : JSON.parse(text);
}
