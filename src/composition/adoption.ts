import { isDeepStrictEqual } from 'node:util';
import type { BackgroundCollection } from './operations/background-collection.js';
import type { CurrentAccess } from './current-access.js';
import type { Adoption, OpenRegistry } from './open-parts.js';
import { RateLimiter } from '../http/limits/rate-limit.js';
import type { LiveOptions } from '../options/live-options.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { AccessControl } from '../ports/access/access.js';
import type { Runtime } from '../ports/runtime.js';
import type { Directory } from '../repositories/directory.js';

/** The parts of an open registry that follow a change of its options. */
export interface AdoptionParts {
  readonly live: LiveOptions;
  readonly runtime: Runtime;
  readonly access: CurrentAccess;
  readonly background: BackgroundCollection;
  readonly directory: Directory;
  /** Takes over the declared webhooks. */
  readonly webhooks: { redeclare(): Promise<void> };
  /** The current limiter. */
  readonly rates: RateLimiter;
  /** Returns the registry with the parts that follow from these options. */
  readonly assemble: (options: ResolvedOptions, access: AccessControl, rates: RateLimiter) => OpenRegistry;
}

/**
 * Applies other options to an open registry, all or nothing.
 * @throws the error that prevents it; nothing has changed then.
 */
export async function adoptOptions(
  next: ResolvedOptions,
  { commit, settled }: Adoption,
  { live, runtime, access, background, directory, webhooks, rates, assemble }: AdoptionParts,
): Promise<void> {
  const before = access.current;
  const prepared = await access.prepare(next);
  // The buckets of a new limiter are full, so the current one is kept if possible.
  const isSameRate = isDeepStrictEqual(live.current.limits, next.limits);
  const fresh = assemble(next, prepared, isSameRate ? rates : new RateLimiter(next.limits, () => runtime.now()));
  const change = (): void => {
    const { intervalSeconds } = next.garbageCollection;
    if (live.current.garbageCollection.intervalSeconds !== intervalSeconds) background.schedule(intervalSeconds);
    live.current = next;
    access.replace(prepared, next);
    commit(fresh);
    void webhooks.redeclare();
  };
  try {
    await directory.redeclare({ ...next, declared: next.repositories }, change);
  } catch (error) {
    await access.discard(prepared);
    throw error;
  }
  settled()
    .then(() => access.discard(before))
    .catch((err: unknown) => runtime.log.warn({ err }, 'failed to close the previous access control'));
}
