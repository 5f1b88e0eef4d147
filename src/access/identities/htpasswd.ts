import { createHash, createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { ClientInfo, Identity, IdentitySource } from '../../ports/access.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { customerOf, normalizeAddress } from '../../util/addresses.js';
import { SingleFlight } from '../../util/concurrency.js';
import { costOf, HtpasswdFile, type HtpasswdUsers } from './htpasswd-file.js';
import type { LoginThrottle } from './login-throttle.js';
import type { LoginLane, PasswordVerifier } from './password-client.js';

export interface HtpasswdOptions {
  readonly path: string;
  /** Closed with the source. */
  readonly verifier: PasswordVerifier;
  readonly throttle: LoginThrottle;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  /** How long a password is not verified anew. 0: always verified. @default 300 */
  readonly rememberSeconds?: number | undefined;
}

interface Attempt extends LoginLane {
  readonly password: string;
  readonly hash: string;
}

/** What bcrypt reads of a password. */
const bcryptBytes = 72;
const maxRemembered = 10_000;
/** Of the hash that stands in where the file is empty; that of `htpasswd -B`. */
const fallbackCost = 5;

/** The users of an htpasswd file, with bcrypt hashes. A change of the file is in force within a second. */
export class HtpasswdSource implements IdentitySource {
  readonly kind = 'htpasswd';
  readonly #file: HtpasswdFile;
  readonly #options: HtpasswdOptions;
  /** Of this process alone: what is remembered is of no use elsewhere. */
  readonly #key = randomBytes(32);
  readonly #right: LRUCache<string, true> | undefined;
  /** By address: nobody learns what others mistyped. */
  readonly #wrong: LRUCache<string, true> | undefined;
  readonly #attempts = new SingleFlight<boolean>();
  readonly #verifications = new SingleFlight<boolean>();

  private constructor(file: HtpasswdFile, options: HtpasswdOptions) {
    const { runtime, rememberSeconds = 300 } = options;
    this.#file = file;
    this.#options = options;
    // lru-cache takes a ttl of 0 for "for ever".
    if (rememberSeconds > 0) {
      const perf = { now: () => runtime.now() };
      const options = { max: maxRemembered, ttl: rememberSeconds * 1000, ttlResolution: 0, perf };
      this.#right = new LRUCache(options);
      this.#wrong = new LRUCache(options);
    }
  }

  /** @throws Error that names the file, and the line where one is wrong. */
  static async open(options: HtpasswdOptions): Promise<HtpasswdSource> {
    const file = new HtpasswdFile(options.path, options.runtime);
    await file.open();
    return new HtpasswdSource(file, options);
  }

  /** Any password: this source comes last. */
  claims(_username: string, password: string): boolean {
    return password !== '';
  }

  /** @throws RegistryError TOOMANYREQUESTS, for a right password too when many wrong ones came before it. */
  async login(
    username: string,
    password: string,
    { address }: Pick<ClientInfo, 'address'>,
  ): Promise<Identity | LoginProblem> {
    if (!isComparable(password)) return 'malformed';
    const users = await this.#file.users();
    const hash = users.get(username);
    // Both are verified, so that the time taken does not tell which names there are.
    const attempt = { username, password, hash: hash ?? this.#decoy(username, users), place: placeOf(address) };
    const matches = await this.#attempt(attempt, hash !== undefined);
    if (hash === undefined) return 'unknown user';
    return matches ? this.#identify(username, hash) : 'wrong password';
  }

  async revive(id: string, stamp: string): Promise<Identity | undefined> {
    const hash = (await this.#file.users()).get(id);
    return hash !== undefined && stampOf(id, hash) === stamp ? this.#identify(id, hash) : undefined;
  }

  /** Whether the file has such a user. */
  async has(name: string): Promise<boolean> {
    return (await this.#file.users()).has(name);
  }

  async close(): Promise<void> {
    await this.#options.verifier.close();
  }

  #identify(id: string, hash: string): Identity {
    return { id, groups: [], stamp: stampOf(id, hash) };
  }

  /**
   * Whether the password is right. The same attempt at the same time, and a wrong one again, is no further guess: a job that
   * repeats an old password costs one verification and slows down nobody.
   */
  async #attempt(attempt: Attempt, isKnown: boolean): Promise<boolean> {
    const { username, password, hash, place } = attempt;
    // No password has a NUL in it, and no hash: the parts cannot be shifted.
    const key = createHmac('sha256', this.#key).update(`${username}\0${password}\0${hash}`).digest('base64url');
    const keyHere = `${place} ${key}`;
    return this.#attempts.run(keyHere, async () => {
      if (this.#wrong?.get(keyHere) === true) return false;
      const takeBack = await this.#options.throttle.admit(place, username);
      try {
        const matches = (await this.#verify(key, attempt)) && isKnown;
        if (matches) takeBack();
        else this.#wrong?.set(keyHere, true);
        return matches;
      } catch (error) {
        takeBack();
        throw error;
      }
    });
  }

  /** A right password is remembered, under a key from which it cannot be read. */
  async #verify(key: string, { password, hash, ...lane }: Attempt): Promise<boolean> {
    if (this.#right?.get(key) === true) return true;
    const matches = await this.#verifications.run(key, () => this.#options.verifier.verify(password, hash, lane));
    if (matches) this.#right?.set(key, true);
    return matches;
  }

  /**
   * A hash of no password, for a user that there is not. Its cost is that of some user, always the same one for a name: where
   * costs differ, unknown names differ in the same way.
   */
  #decoy(username: string, users: HtpasswdUsers): string {
    const hashes = [...users.values()];
    const number = createHmac('sha256', this.#key).update(username).digest().readUInt32BE(0);
    const hash = hashes[number % hashes.length];
    const cost = hash === undefined ? fallbackCost : costOf(hash);
    return `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`;
  }
}

/**
 * bcrypt reads 72 bytes of a password and repeats it after a NUL, so that others than the right one would match: nobody is
 * let in by a part of a password. It is refused without a look at the user, so its time tells nothing either.
 */
function isComparable(password: string): boolean {
  return password !== '' && !password.includes('\0') && Buffer.byteLength(password) <= bcryptBytes;
}

/** The same after a restart, and no secret: a hash has 128 random bits of salt. */
function stampOf(id: string, hash: string): string {
  return createHash('sha256').update(`${id}:${hash}`).digest('base64url').slice(0, 16);
}

/** What counts as one address. */
function placeOf(address: string): string {
  return customerOf(normalizeAddress(address));
}
