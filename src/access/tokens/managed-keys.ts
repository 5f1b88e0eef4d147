import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Document } from '../../ports/metadata/documents.js';
import type { Change } from '../../ports/metadata/metadata.js';
import type { SigningKeyInfo } from '../../ports/access/access.js';
import { system } from '../../util/system-actor.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import type { SigningKeys, SigningKeysOptions } from './signing-keys.js';

/** The value of a `signing-key` document, whose id is the RFC 7638 thumbprint of the key. It never changes. */
interface KeyRecord {
  readonly privateKey: JWK;
  readonly createdAt: number;
}

interface ManagedKey extends KeyRecord {
  readonly id: string;
  /** When the next key was created. Absent for the key that signs. */
  readonly replacedAt?: number;
}

type Imported = Readonly<Record<'private' | 'public', CryptoKey>>;

/**
 * Creates keys and keeps them in the store. Checks the store at each use, so changes by another process take effect at
 * once. The newest key signs. Two processes that rotate at the same moment need not agree: both keys verify, and soon both
 * processes sign with the newer one.
 */
export class ManagedKeys implements SigningKeys {
  readonly #options: SigningKeysOptions;
  /** Imported keys by id, only of keys that are stored. */
  readonly #imported = new Map<string, Promise<Imported>>();
  readonly #rotations = new SingleFlight<ManagedKey>();
  /** The keys at one revision of the stored documents. */
  #loaded: { readonly revision: number | string; readonly keys: readonly ManagedKey[] } | undefined;

  private constructor(options: SigningKeysOptions) {
    this.#options = options;
  }

  /** Creates the first key, and deletes expired ones. */
  static async open(options: SigningKeysOptions): Promise<ManagedKeys> {
    const keys = new ManagedKeys(options);
    await keys.#newest();
    const changes = keys.#deletions(await keys.#load());
    if (changes.length > 0) await options.store.apply(changes, { durable: true });
    return keys;
  }

  async signer(): Promise<{ readonly id: string; readonly key: CryptoKey }> {
    const newest = await this.#newest();
    return { id: newest.id, key: (await this.#import(newest)).private };
  }

  async verifier(id: string): Promise<CryptoKey | undefined> {
    const key = (await this.#load()).find((one) => one.id === id);
    return key === undefined || this.#isExpired(key) ? undefined : (await this.#import(key)).public;
  }

  async rotate(by: Actor): Promise<SigningKeyInfo> {
    const { id, createdAt } = await this.#rotations.run('', () => this.#create(by));
    return { id, createdAt, origin: 'managed', signs: true };
  }

  async list(): Promise<readonly SigningKeyInfo[]> {
    const keys = (await this.#load()).filter((key) => !this.#isExpired(key));
    return keys.toReversed().map(({ id, createdAt, replacedAt }): SigningKeyInfo => {
      return { id, createdAt, origin: 'managed', signs: replacedAt === undefined };
    });
  }

  /** Returns the key that signs. Creates a key if there is none or the newest is too old. */
  async #newest(): Promise<ManagedKey> {
    const newest = (await this.#load()).at(-1);
    if (newest === undefined) return this.#rotations.run('', () => this.#create(system));
    const { runtime, rotateSeconds } = this.#options;
    if (runtime.now() - newest.createdAt < rotateSeconds * 1000) return newest;
    try {
      return await this.#rotations.run('', () => this.#create(system));
    } catch (error) {
      // Signing with an old key is better than refusing all logins.
      runtime.log.warn({ err: error, key: newest.id }, 'signing key rotation failed');
      return newest;
    }
  }

  async #create(actor: Actor): Promise<ManagedKey> {
    const { runtime, store } = this.#options;
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(privateKey);
    const id = await calculateJwkThumbprint(jwk);
    const keys = await this.#load();
    // Newer than all others even if the clock was set back.
    const createdAt = Math.max(runtime.now(), (keys.at(-1)?.createdAt ?? 0) + 1);
    const value: KeyRecord = { privateKey: jwk, createdAt };
    const put: Change = { type: 'document.put', kind: 'signing-key', id, value };
    await store.apply([put, ...this.#deletions(keys)], {
      durable: true,
      require: [{ type: 'document', kind: 'signing-key', id, is: 'absent' }],
      by: { actor, at: runtime.now() },
    });
    return { id, ...value };
  }

  /** Returns the changes that delete expired keys. */
  #deletions(keys: readonly ManagedKey[]): Change[] {
    return keys
      .filter((key) => this.#isExpired(key))
      .map(({ id }) => ({ type: 'document.delete', kind: 'signing-key', id }));
  }

  #isExpired({ replacedAt }: ManagedKey): boolean {
    return replacedAt !== undefined && this.#options.runtime.now() >= replacedAt + this.#options.keepSeconds * 1000;
  }

  /** Returns all keys, oldest first. */
  async #load(): Promise<readonly ManagedKey[]> {
    const { store } = this.#options;
    const revision = await store.documentRevision('signing-key');
    if (this.#loaded?.revision === revision) return this.#loaded.keys;
    const keys = this.#read(await store.documents('signing-key'));
    this.#loaded = { revision, keys };
    return keys;
  }

  #read(documents: readonly Document[]): readonly ManagedKey[] {
    // Only this class writes documents of the kind `signing-key`.
    const keys = documents.map(({ id, value }): ManagedKey => ({ id, ...(value as KeyRecord) }));
    for (const id of this.#imported.keys()) if (!keys.some((key) => key.id === id)) this.#imported.delete(id);
    keys.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
    return keys.map((key, index) => {
      const next = keys[index + 1];
      return next === undefined ? key : { ...key, replacedAt: next.createdAt };
    });
  }

  #import({ id, privateKey }: ManagedKey): Promise<Imported> {
    const imported = this.#imported.get(id) ?? importPair(privateKey);
    this.#imported.set(id, imported);
    return imported;
  }
}

async function importPair(privateKey: JWK): Promise<Imported> {
  const { d: _secret, ...publicKey } = privateKey;
  const [secret, open] = await Promise.all([importJWK(privateKey, 'ES256'), importJWK(publicKey, 'ES256')]);
  // `importJWK` returns bytes for symmetric keys only.
  return { private: secret as CryptoKey, public: open as CryptoKey };
}
