/** Limits of bytes, by pattern and by repository, kept exactly by preconditions of the write. */
import type { Actor } from '../../../ports/metadata/journal.js';
import type { Change, MetadataStore, MetadataWriter, Precondition } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { ExceededUsage, Quota, QuotaAdministration, QuotaStatus } from '../../../ports/metadata/quotas.js';
import type { RegistryEvents, Runtime } from '../../../ports/runtime.js';
import { RegistryError } from '../../../protocol/errors.js';
import { formatSize } from '../../../protocol/format-bytes.js';
import { matchesAny } from '../../../protocol/patterns.js';
import { canonicalNames, type QuotaConfig } from '../../../protocol/settings/quota-config.js';
import type { RepositoryConfig } from '../../../protocol/settings/repository-config.js';
import { problemsFound } from '../../../protocol/tables/documents/encoding.js';
import { QuotaLevels } from './quota-levels.js';
import type { SizeLimit } from '../size-limit.js';

export interface QuotaParts {
  readonly metadata: MetadataWriter & Pick<MetadataStore, 'sizes' | 'document' | 'documents' | 'documentRevision'>;
  readonly runtime: Runtime;
  /** The option `quotas`. */
  readonly declared: () => readonly QuotaConfig[];
  /** Called with each event `quota.reached`. Never waits and never throws. */
  readonly onReached: (reached: RegistryEvents['quota.reached'][0]) => void;
  /** The settings of all repositories. */
  readonly configs: () => readonly RepositoryConfig[];
}

/** The bytes by which a write will increase the size of an image. */
export interface Growth {
  readonly at: ImageKey;
  readonly bytes: number;
}

interface Demand {
  readonly quota: Quota;
  readonly bytes: number;
}

/**
 * The quotas of a registry. The precondition `usage` inside each write enforces them. Before a push stores its bytes, it
 * also holds room in this process, so that a push that does not fit leaves nothing behind. A push waits if it would fit
 * without the room that other pushes hold.
 */
export class Quotas implements QuotaAdministration {
  readonly #parts: QuotaParts;
  readonly #levels = new QuotaLevels();
  /** Bytes of pushes in progress, by name of the quota. */
  readonly #held = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #releases = 0;
  #managed: { readonly revision: number | string; readonly quotas: readonly Quota[] } | undefined;

  constructor(parts: QuotaParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly QuotaStatus[]> {
    const own = this.#parts.configs().flatMap((config) => quotaOf(config) ?? []);
    const all = [...own, ...this.#declared(), ...(await this.#readManaged())];
    return this.#withUsage(all);
  }

  async limiting({ repository, image }: ImageKey): Promise<readonly QuotaStatus[]> {
    const config = this.#parts.configs().find(({ name, type }) => name === repository && type === 'local');
    return config === undefined ? [] : this.#withUsage(await this.#quotasOf(config, image));
  }

  async replace(quotas: readonly Pick<Quota, 'names' | 'maxBytes'>[], by: Actor): Promise<void> {
    const declared = new Set(this.#declared().map(({ name }) => name));
    const wanted = new Map(quotas.map(({ names, maxBytes }) => [nameOf(names), { names, maxBytes }] as const));
    const taken = [...wanted.keys()].flatMap((name, i) =>
      declared.has(name) ? [{ path: `quotas[${i}].names`, problem: 'already have a declared quota' }] : [],
    );
    if (taken.length > 0) throw problemsFound(taken);
    const { metadata, runtime } = this.#parts;
    const present = await metadata.documents('quota');
    const gone = present.filter(({ id }) => !wanted.has(id));
    const changes: Change[] = gone.map(({ id }) => ({ type: 'document.delete', kind: 'quota', id }));
    for (const [id, value] of wanted) {
      const before = (await metadata.document('quota', id)) as Pick<Quota, 'maxBytes'> | undefined;
      if (before?.maxBytes !== value.maxBytes) changes.push({ type: 'document.put', kind: 'quota', id, value });
    }
    if (changes.length > 0) await metadata.apply(changes, { durable: true, by: { actor: by, at: runtime.now() } });
  }

  /** Returns how many more bytes the quotas allow in an image; `undefined` without a quota. */
  async room(config: RepositoryConfig, image: string): Promise<SizeLimit | undefined> {
    const quotas = await this.#quotasOf(config, image);
    const rooms = await Promise.all(
      quotas.map(async (quota) => {
        const used = await this.#usedBytes(quota);
        const maxBytes = Math.max(0, quota.maxBytes - used);
        return { maxBytes, refuse: (bytes: number) => exceeded(quota, used, bytes) };
      }),
    );
    return rooms.sort((a, b) => a.maxBytes - b.maxBytes)[0];
  }

  /**
   * Runs a task that stores content, while the room for it is held. The task passes `require` to `tryApplyWithin`.
   * @param measure returns by how much the task will increase the size of images. Called again after waiting.
   * @throws RegistryError DENIED when it does not fit.
   */
  async hold<T>(
    config: RepositoryConfig,
    images: readonly string[],
    by: Actor,
    measure: () => Promise<readonly Growth[]>,
    task: (require: readonly Precondition[]) => Promise<T>,
  ): Promise<T> {
    const quotas = new Map<string, Quota>();
    for (const image of images) {
      for (const quota of await this.#quotasOf(config, image)) {
        // A declared and a managed quota may have the same names.
        if (quota.maxBytes < (quotas.get(quota.name)?.maxBytes ?? Infinity)) quotas.set(quota.name, quota);
      }
    }
    if (quotas.size === 0) return task([]);
    const limits = [...quotas.values()];
    const demands = await this.#reserve(limits, measure);
    try {
      const result = await task(limits.map(({ names, maxBytes }) => ({ type: 'usage', names, maxBytes })));
      await this.#report(demands, by);
      return result;
    } finally {
      this.#release(demands);
    }
  }

  /** Returns the refusal of a write whose precondition `usage` did not hold. */
  refusalOf({ names, maxBytes, usedBytes, neededBytes }: ExceededUsage): RegistryError {
    const own = this.#parts.configs().find((config) => quotaOf(config)?.names.join(' ') === names.join(' '));
    return exceeded({ name: own?.name ?? nameOf(names), maxBytes }, usedBytes, neededBytes);
  }

  async #reserve(quotas: readonly Quota[], measure: () => Promise<readonly Growth[]>): Promise<readonly Demand[]> {
    for (;;) {
      const releases = this.#releases;
      const growths = await measure();
      const used = await Promise.all(quotas.map((quota) => this.#usedBytes(quota)));
      // A push ended in between: its bytes may be missing from the figures that were read, and are no longer held.
      if (releases !== this.#releases) continue;
      const demands = quotas.map((quota) => ({ quota, bytes: growthIn(quota, growths) }));
      const [isOver, mustWait] = [new Array<boolean>(), new Array<boolean>()];
      for (const [i, { quota, bytes }] of demands.entries()) {
        const total = (used[i] ?? 0) + bytes;
        this.#levels.lower(quota, used[i] ?? 0);
        isOver.push(bytes > 0 && total > quota.maxBytes);
        mustWait.push(bytes > 0 && total + (this.#held.get(quota.name) ?? 0) > quota.maxBytes);
      }
      const over = demands[isOver.indexOf(true)];
      if (over !== undefined) throw exceeded(over.quota, used[isOver.indexOf(true)] ?? 0, over.bytes);
      if (!mustWait.includes(true)) {
        this.#change(demands, 1);
        return demands;
      }
      await new Promise<void>((resolve) => void this.#waiting.add(resolve));
    }
  }

  #release(demands: readonly Demand[]): void {
    this.#change(demands, -1);
    this.#releases += 1;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }

  #change(demands: readonly Demand[], sign: 1 | -1): void {
    for (const { quota, bytes } of demands) {
      const held = (this.#held.get(quota.name) ?? 0) + sign * bytes;
      if (held === 0) this.#held.delete(quota.name);
      else this.#held.set(quota.name, held);
    }
  }

  async #report(demands: readonly Demand[], by: Actor): Promise<void> {
    const { runtime } = this.#parts;
    for (const { quota, bytes } of demands) {
      if (bytes === 0) continue;
      const usedBytes = await this.#usedBytes(quota);
      for (const percent of this.#levels.raise(quota, usedBytes)) {
        const figures = { quota: quota.name, percent, limitBytes: quota.maxBytes, usedBytes };
        runtime.log.warn({ id: by.requestId, ...figures }, 'quota is filling up');
        runtime.emit('quota.reached', { ...figures, by });
        this.#parts.onReached({ ...figures, by });
      }
    }
  }

  async #quotasOf(config: RepositoryConfig, image: string): Promise<readonly Quota[]> {
    const own = quotaOf(config);
    const name = `${config.name}/${image}`;
    const shared = [...this.#declared(), ...(await this.#readManaged())].filter(({ names }) => matchesAny(names, name));
    return own === undefined ? shared : [own, ...shared];
  }

  #withUsage(quotas: readonly Quota[]): Promise<readonly QuotaStatus[]> {
    return Promise.all(quotas.map(async (quota) => ({ ...quota, usedBytes: await this.#usedBytes(quota) })));
  }

  #declared(): readonly Quota[] {
    return this.#parts.declared().map(({ names, maxBytes }) => toQuota(names, maxBytes, 'declared'));
  }

  async #readManaged(): Promise<readonly Quota[]> {
    const { metadata } = this.#parts;
    const revision = await metadata.documentRevision('quota');
    if (this.#managed?.revision !== revision) {
      const documents = await metadata.documents('quota');
      const quotas = documents.map(({ value }) => {
        // `replace` writes them.
        const { names, maxBytes } = value as Pick<Quota, 'names' | 'maxBytes'>;
        return toQuota(names, maxBytes, 'managed');
      });
      this.#managed = { revision, quotas };
    }
    return this.#managed.quotas;
  }

  #usedBytes({ names }: Quota): Promise<number> {
    return this.#parts.metadata.sizes.total(names);
  }
}

function quotaOf(config: RepositoryConfig): Quota | undefined {
  if (config.type !== 'local' || config.maxBytes === undefined) return undefined;
  return { name: config.name, names: [`${config.name}/**`], maxBytes: config.maxBytes, origin: 'repository' };
}

function toQuota(names: readonly string[], maxBytes: number, origin: Quota['origin']): Quota {
  return { name: nameOf(names), names: canonicalNames(names), maxBytes, origin };
}

function nameOf(names: readonly string[]): string {
  return canonicalNames(names).join(', ');
}

function growthIn({ names }: Quota, growths: readonly Growth[]): number {
  return growths
    .filter(({ at }) => matchesAny(names, `${at.repository}/${at.image}`))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Returns whether an error reports an exceeded quota. */
export function isQuotaError(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.code === 'DENIED';
}

function exceeded({ name, maxBytes }: Pick<Quota, 'name' | 'maxBytes'>, used: number, needed: number): RegistryError {
  // A push without a length is refused at the first byte that does not fit. Rounded, it would seem to fit.
  const seemsToFit = formatSize(used + needed) === formatSize(maxBytes);
  const need = seemsToFit ? `more than the remaining ${formatSize(maxBytes - used)}` : `${formatSize(needed)} more`;
  const figures = `${formatSize(used)} of ${formatSize(maxBytes)} are used, and this push needs ${need}`;
  return new RegistryError('DENIED', {
    message: `the quota of "${name}" is exceeded: ${figures}; delete images that are no longer needed, or ask an administrator for a larger quota`,
    detail: { quota: name, limit_bytes: maxBytes, used_bytes: used, needed_bytes: needed },
  });
}
