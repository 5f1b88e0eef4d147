import type { Caller } from '../../ports/repository.js';
import type { ManifestContent, Provenance, ManifestRecord } from '../../ports/metadata/images.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import type { UpstreamResult } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { formatReference, type Reference, type Tag } from '../../protocol/names.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import type { CacheContext } from './cache-context.js';
import { freshnessOf } from './freshness.js';
import type { ManifestStore } from './manifest-store.js';
import { describeAbsence, describeFailure, isMissing, toMissing, toRefusal } from '../../protocol/upstream/refusal.js';

/** A cached manifest and where the answer came from. */
export interface CachedManifest {
  readonly record: ManifestRecord;
  readonly provenance: Provenance;
}

/** The factor by which freshness windows grow when the upstream's rate limit is used up. */
const maxStretch = 10;

/**
 * Resolves the manifests of a cache. A digest is fetched once. A tag is revalidated by HEAD when its freshness window
 * has passed, and served stale when the upstream fails. Manifests are verified and stored unchanged.
 */
export class CachedManifests {
  readonly #context: CacheContext;
  readonly #store: ManifestStore;
  readonly #flights = new SingleFlight<CachedManifest | undefined>();

  constructor(context: CacheContext, store: ManifestStore) {
    this.#context = context;
    this.#store = store;
  }

  /**
   * Returns `undefined` when the upstream does not have the manifest.
   * @throws RegistryError DENIED, UNAVAILABLE or TOOMANYREQUESTS when the upstream gives no answer and nothing is cached;
   * MANIFEST_UNKNOWN for an absent tag whose reason or last digest is known.
   */
  async resolve(caller: Caller, image: string, reference: Reference): Promise<CachedManifest | undefined> {
    const resolved = await ('digest' in reference
      ? this.#resolveDigest(caller, image, reference.digest)
      : this.#resolveTag(caller, image, reference.tag));
    if (resolved === undefined) return undefined;
    this.#context.parts.accessTimes.touch(this.#context.at(image), resolved.record.digest);
    this.#context.count(image, 'manifest', resolved.provenance.cache);
    return resolved;
  }

  /**
   * Asks the upstream for a tag now, regardless of what is cached. Returns why the cached manifest could not be
   * refreshed, or that there is none.
   * @throws RegistryError like `resolve`, except for absent tags.
   */
  async refresh(caller: Caller, image: string, tag: Tag): Promise<string | undefined> {
    const { negatives, upstream } = this.#context;
    negatives.forget(image);
    try {
      const found = await this.#fly(caller, image, { tag }, await this.#store.tag(image, tag));
      return found === undefined
        ? describeAbsence({ upstream: upstream.host, reason: 'not found' })
        : found.provenance.reason;
    } catch (error) {
      if (error instanceof RegistryError && isMissing(error)) return error.message;
      throw error;
    }
  }

  /** Returns the bytes of a resolved manifest. Fetches them again when they are missing or damaged. */
  async read(caller: Caller, image: string, record: ManifestRecord): Promise<Buffer | undefined> {
    const kept = await this.#store.read(image, record);
    if (kept !== undefined) return kept;
    await this.#fetch(caller, image, { digest: record.digest }, undefined);
    return this.#store.read(image, record);
  }

  /**
   * Returns until when a tag is served without revalidation. The window grows as the upstream's rate limit is used up.
   */
  freshUntil(tag: TagRecord): number {
    const { config, upstream, parts } = this.#context;
    const { seconds } = freshnessOf(config, tag.name);
    const stretch = upstream.budget >= 0.5 ? 1 : 1 + (maxStretch - 1) * (1 - upstream.budget / 0.5);
    const checkedAt = tag.checkedAt ?? 0;
    // A time in the future was recorded before the clock was set back.
    return (checkedAt > parts.runtime.now() ? 0 : checkedAt) + seconds * 1000 * stretch;
  }

  async #resolveDigest(caller: Caller, image: string, digest: Digest): Promise<CachedManifest | undefined> {
    const record = await this.#store.manifest(image, digest);
    if (record !== undefined) return { record, provenance: this.#provenance('hit') };
    return this.#fly(caller, image, { digest }, undefined);
  }

  async #resolveTag(caller: Caller, image: string, tag: Tag): Promise<CachedManifest | undefined> {
    const known = await this.#store.tag(image, tag);
    if (known !== undefined && this.#context.parts.runtime.now() < this.freshUntil(known)) {
      const record = await this.#store.manifest(image, known.digest);
      if (record !== undefined) return { record, provenance: this.#provenance('hit', known) };
    }
    return this.#fly(caller, image, { tag }, known);
  }

  /**
   * Sends one upstream request at a time for a reference and shares the answer. Requests with different trails do not
   * share: caches that ask each other would wait for each other, and neither would detect the loop.
   */
  #fly(
    caller: Caller,
    image: string,
    reference: Reference,
    known: TagRecord | undefined,
  ): Promise<CachedManifest | undefined> {
    const name = formatReference(reference);
    const { config, negatives } = this.#context;
    const remembersAbsence = !('tag' in reference) || freshnessOf(config, reference.tag).remembersAbsence;
    if (remembersAbsence && negatives.has(image, name)) return this.#answerAbsent(image, reference, known);
    return this.#flights.run([image, name, ...caller.trail].join('\0'), async () => {
      if (known !== undefined && 'tag' in reference) return this.#revalidate(caller, image, known);
      return this.#fetch(caller, image, reference, known);
    });
  }

  /** Asks by HEAD, which most rate limits do not count, and sends a GET only when the tag names another digest. */
  async #revalidate(caller: Caller, image: string, known: TagRecord): Promise<CachedManifest | undefined> {
    const { upstream, parts } = this.#context;
    const record = await this.#store.manifest(image, known.digest);
    const answer = await upstream.statManifest(image, { tag: known.name }, caller.trail);
    if (answer.type !== 'found') return this.#withoutContent(image, { tag: known.name }, known, answer);
    if (answer.value.digest !== known.digest || record === undefined) {
      const whole = isWhole(answer.value) ? ({ type: 'found', value: answer.value } as const) : undefined;
      return this.#fetch(caller, image, { tag: known.name }, known, whole);
    }
    const checked: TagRecord = { ...known, checkedAt: parts.runtime.now() };
    await this.#store.putTag(image, checked);
    this.#context.count(image, 'manifest', 'refresh');
    return { record, provenance: this.#provenance('hit', checked) };
  }

  async #fetch(
    caller: Caller,
    image: string,
    reference: Reference,
    known: TagRecord | undefined,
    given?: UpstreamResult<ManifestContent>,
  ): Promise<CachedManifest | undefined> {
    const answer = given ?? (await this.#context.upstream.getManifest(image, reference, caller.trail));
    if (answer.type !== 'found') return this.#withoutContent(image, reference, known, answer);
    try {
      const now = this.#context.parts.runtime.now();
      const { digest } = answer.value;
      const tag = 'tag' in reference ? { name: reference.tag, digest, updatedAt: now, checkedAt: now } : undefined;
      const record = await this.#store.put(image, answer.value, tag, known);
      return { record, provenance: this.#provenance('miss') };
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_INVALID') throw error;
      const { host } = this.#context.upstream;
      const reason = { upstream: host, reason: `it sent a manifest that is not accepted here: ${error.message}` };
      return this.#withoutContent(image, reference, known, { type: 'failed', reason });
    }
  }

  /** Absent: remembers it. Denied: throws. Failed: serves the cached manifest as stale. */
  async #withoutContent(
    image: string,
    reference: Reference,
    known: TagRecord | undefined,
    answer: Exclude<UpstreamResult<unknown>, { type: 'found' }>,
  ): Promise<CachedManifest | undefined> {
    if (answer.type === 'absent') {
      const { reason } = answer;
      this.#context.negatives.note(image, formatReference(reference), { reason, digest: known?.digest });
      return this.#answerAbsent(image, reference, known);
    }
    const record = known && (await this.#store.manifest(image, known.digest));
    if (answer.type === 'denied' || record === undefined) throw toRefusal(answer);
    return { record, provenance: { ...this.#provenance('stale', known), reason: describeFailure(answer.reason) } };
  }

  /** Serves the cached manifest of a tag if it is to be kept. Otherwise deletes the tag, and names what is cached. */
  async #answerAbsent(
    image: string,
    reference: Reference,
    known: TagRecord | undefined,
  ): Promise<CachedManifest | undefined> {
    if (!('tag' in reference)) return undefined;
    const { config, negatives, upstream } = this.#context;
    const { tag } = reference;
    const absence = negatives.find(image, tag);
    const digest = known?.digest ?? absence?.digest;
    const record = digest && (await this.#store.manifest(image, digest));
    const reason = absence?.reason ?? { upstream: upstream.host, reason: 'not found', status: 404 };
    if (config.whenAbsent === 'keep' && known !== undefined && record !== undefined)
      return { record, provenance: { ...this.#provenance('stale', known), reason: describeAbsence(reason) } };
    if (known !== undefined) await this.#store.deleteTag(image, known);
    if (record === undefined && absence?.reason === undefined) return undefined;
    throw toMissing(tag, reason, record?.digest);
  }

  #provenance(cache: Provenance['cache'], tag?: TagRecord): Provenance {
    const { name } = this.#context.config;
    return tag?.checkedAt === undefined
      ? { repository: name, cache }
      : { repository: name, cache, checkedAt: tag.checkedAt };
  }
}

function isWhole(value: Partial<ManifestContent>): value is ManifestContent {
  return value.bytes !== undefined;
}
