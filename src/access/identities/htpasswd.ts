import { createHash, createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { ClientInfo, Identity, IdentitySource } from '../../ports/access/access.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { costOf, HtpasswdFile, type HtpasswdUsers } from './htpasswd-file.js';
import { placeOf, type LoginThrottle } from './login-throttle.js';
import type { LoginLane, PasswordVerifier } from './password-client.js';

/** The parts and settings of an `HtpasswdSource`. */
export interface HtpasswdOptions {
  readonly path: string;
  /** `close` closes it too. */
  readonly verifier: PasswordVerifier;
  readonly throttle: LoginThrottle;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  /** How long the result of a verification is cached. 0 disables the cache. @default 300 */
  readonly cacheSeconds?: number | undefined;
}

interface Attempt extends LoginLane {
  readonly password: string;
  readonly hash: string;
}

/** The part of a password that bcrypt reads. */
const maxPasswordBytes = 72;
const maxCached = 10_000;
/** The cost of the decoy hash when the file is empty: the default of `htpasswd -B`. */
const fallbackCost = 5;

/** Authenticates users by the bcrypt hashes in an htpasswd file. A change of the file takes effect within a second. */
export class HtpasswdSource implements IdentitySource {
  readonly kind = 'htpasswd';
  readonly #file: HtpasswdFile;
  readonly #options: HtpasswdOptions;
  /** Random per process, so cached results are useless elsewhere. */
  readonly #key = randomBytes(32);
  readonly #accepted: LRUCache<string, true> | undefined;
  /** Per address: no one can find out what another client mistyped. */
  readonly #rejected: LRUCache<string, true> | undefined;
  readonly #attempts = new SingleFlight<boolean>();
  readonly #verifications = new SingleFlight<boolean>();

  private constructor(file: HtpasswdFile, options: HtpasswdOptions) {
    const { runtime, cacheSeconds = 300 } = options;
    this.#file = file;
    this.#options = options;
    // lru-cache never expires entries with a ttl of 0.
    if (cacheSeconds > 0) {
      const perf = { now: () => runtime.now() };
      const options = {
        maxSize: maxCached,
        sizeCalculation: () => 1,
        ttl: cacheSeconds * 1000,
        ttlResolution: 0,
        perf,
      };
      this.#accepted = new LRUCache(options);
      this.#rejected = new LRUCache(options);
    }
  }

  /** Reads the file. @throws HtpasswdError that names the file and its first invalid line. */
  static async open(options: HtpasswdOptions): Promise<HtpasswdSource> {
    const file = new HtpasswdFile(options.path, options.runtime);
    await file.open();
    return new HtpasswdSource(file, options);
  }

  /** Claims every password, so this source must come last. */
  claims(_username: string, password: string): boolean {
    return password !== '';
  }

  /** @throws RegistryError TOOMANYREQUESTS after many wrong passwords, even for the right one. */
  async login(
    username: string,
    password: string,
    { address }: Pick<ClientInfo, 'address'>,
  ): Promise<Identity | LoginProblem> {
    if (!isComparable(password)) return 'malformed';
    const users = await this.#file.users();
    const hash = users.get(username);
    // Unknown users are verified against a decoy, so that timing does not reveal which names exist.
    const attempt = { username, password, hash: hash ?? this.#decoy(username, users), place: placeOf(address) };
    const matches = await this.#attempt(attempt, hash !== undefined);
    if (hash === undefined) return 'unknown user';
    return matches ? this.#identify(username, hash) : 'wrong password';
  }

  async revive(id: string, stamp: string): Promise<Identity | undefined> {
    const hash = (await this.#file.users()).get(id);
    return hash !== undefined && stampOf(id, hash) === stamp ? this.#identify(id, hash) : undefined;
  }

  /** Returns whether the file has a user of this name. */
  async has(name: string): Promise<boolean> {
    return (await this.#file.users()).has(name);
  }

  /** Lists the names of all users. */
  async names(): Promise<readonly string[]> {
    return [...(await this.#file.users()).keys()];
  }

  async close(): Promise<void> {
    await this.#options.verifier.close();
  }

  #identify(id: string, hash: string): Identity {
    return { id, groups: [], stamp: stampOf(id, hash) };
  }

  /**
   * Returns whether the password is right. Concurrent identical attempts count once, and so does a repeated wrong password:
   * a job that keeps sending an old password costs one verification and slows down no one.
   */
  async #attempt(attempt: Attempt, isKnown: boolean): Promise<boolean> {
    const { username, password, hash, place } = attempt;
    // Neither passwords nor hashes contain a NUL, so the boundaries are unambiguous.
    const key = createHmac('sha256', this.#key).update(`${username}\0${password}\0${hash}`).digest('base64url');
    const keyHere = `${place} ${key}`;
    return this.#attempts.run(keyHere, async () => {
      if (this.#rejected?.get(keyHere) === true) return false;
      const uncount = await this.#options.throttle.admit(place, username);
      let matches: boolean;
      try {
        matches = (await this.#verify(key, attempt)) && isKnown;
      } catch (error) {
        uncount();
        throw error;
      }
      if (matches) uncount();
      else {
        this.#rejected?.set(keyHere, true);
        await this.#options.throttle.fail(place, username);
      }
      return matches;
    });
  }

  /** Caches right passwords under a key that does not reveal them. */
  async #verify(key: string, { password, hash, ...lane }: Attempt): Promise<boolean> {
    if (this.#accepted?.get(key) === true) return true;
    const matches = await this.#verifications.run(key, () => this.#options.verifier.verify(password, hash, lane));
    if (matches) this.#accepted?.set(key, true);
    return matches;
  }

  /**
   * Returns a hash that no password matches, for an unknown user. It has the cost of some existing user, always the same one
   * for a name: if the costs in the file differ, those of unknown names differ in the same way.
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
 * Returns whether bcrypt can tell this password from all others. bcrypt reads 72 bytes and repeats a shorter password with a
 * NUL in between, so longer passwords and those with a NUL could match by a part. They are refused before the user is looked
 * up, so timing reveals nothing.
 */
function isComparable(password: string): boolean {
  return password !== '' && !password.includes('\0') && Buffer.byteLength(password) <= maxPasswordBytes;
}

/** Returns a stamp that survives a restart. It is not a secret: the hash has a salt of 128 random bits. */
function stampOf(id: string, hash: string): string {
  return createHash('sha256').update(`${id}:${hash}`).digest('base64url').slice(0, 16);
}
