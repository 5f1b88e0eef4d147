/**
 * Asks the hooks of the host application. Each hook is called in one place, in `HostHooks`; repositories and handlers
 * use it through the port. Imported by the composition root only.
 */
import type { Caller } from '../../ports/access/caller.js';
import type {
  Doomed,
  GatedChange,
  GatedTagMove,
  GatedTarget,
  HookGate,
  HookManifest,
  HookOptions,
  HookRequest,
  HookPullDecision,
  StoredManifest,
} from '../../ports/hooks.js';
import type { ImageKey, ManifestContent } from '../../ports/metadata/images.js';
import type { Repository } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Reference, Tag } from '../../protocol/names.js';
import type { PullCounts } from '../content/pull-counts.js';
import { callHook, hookFailed, type HookName } from './hook-run.js';
import { backgroundCaller, createImageReader, describeManifest, quietly, type ReaderParts } from './image-reader.js';

/** The dependencies of `HostHooks`. */
export interface HostHooksParts extends ReaderParts {
  /** The hooks of the current options; `undefined` without any. */
  readonly hooks: () => (HookOptions & { readonly timeoutSeconds: number }) | undefined;
  readonly find: (repository: string) => Repository | undefined;
  readonly pullCounts: Pick<PullCounts, 'count'>;
  readonly runtime: Pick<Runtime, 'log'>;
}

/** The circumstances of a call: the image with the content, the image that the request names, and the caller. */
interface Place extends Omit<GatedChange, 'caller'> {
  readonly caller: Caller;
  readonly requested: ImageKey;
  /** The repository with the content, if it is at hand. */
  readonly holder?: Repository;
  /** Whether the hook may serve another manifest. */
  readonly mayServe?: boolean;
}

/** Calls the hooks in the options that currently apply. */
export class HostHooks implements HookGate {
  readonly #parts: HostHooksParts;

  constructor(parts: HostHooksParts) {
    this.#parts = parts;
  }

  get pull(): HookGate['pull'] {
    return this.#parts.hooks()?.beforePull && this.#pull;
  }

  get manifestPut(): HookGate['manifestPut'] {
    return this.#parts.hooks()?.beforeManifestPut && this.#manifestPut;
  }

  get tagMove(): HookGate['tagMove'] {
    return this.#parts.hooks()?.beforeTagMove && this.#tagMove;
  }

  get delete(): HookGate['delete'] {
    return this.#parts.hooks()?.beforeDelete && this.#delete;
  }

  readonly #pull = async (
    caller: Caller,
    { at: requested, repository, counts }: GatedTarget,
    reference: Reference,
  ): Promise<ManifestContent | undefined> => {
    const found = await repository.getManifest(quietly(caller), requested.image, reference);
    if (found === undefined) return undefined;
    const holder = this.#parts.find(found.provenance?.repository ?? '') ?? repository;
    const image = holder.canonicalImage(requested.image);
    const at = { repository: holder.config.name, image };
    const place = { at, requested, actor: caller.actor, caller, holder, mayServe: 'tag' in reference };
    const manifest = describeManifest(found);
    const digest = await this.#ask('beforePull', place, async (request, { beforePull }) =>
      beforePull?.({ ...request, reference, manifest }),
    );
    const isSame = digest === undefined || digest === found.digest;
    const served = isSame ? found : await holder.getManifest(quietly(caller), image, { digest });
    if (served === undefined) {
      const cause = new Error(`the image does not have ${digest}, which the hook wants to serve`);
      throw hookFailed({ name: 'beforePull', ...place }, this.#parts.runtime, cause);
    }
    this.#count(holder, at, served.digest, counts, reference);
    return served;
  };

  readonly #manifestPut = async (
    change: GatedChange,
    { digest, mediaType, bytes }: StoredManifest,
    tags: readonly Tag[],
  ): Promise<void> => {
    const manifest = describeManifest({ digest, mediaType, bytes });
    await this.#ask('beforeManifestPut', placeOf(change), async (request, { beforeManifestPut }) =>
      beforeManifestPut?.({ ...request, manifest, tags }),
    );
  };

  readonly #tagMove = async (change: GatedChange, { tag, to, was }: GatedTagMove): Promise<void> => {
    await this.#ask('beforeTagMove', placeOf(change), async (request, { beforeTagMove }) => {
      const manifest = await readMoved(request, to);
      return beforeTagMove?.({ ...request, tag, manifest, ...(was === undefined ? {} : { was }) });
    });
  };

  readonly #delete = async (change: GatedChange, doomed: Doomed): Promise<void> => {
    const { digest } = doomed;
    if (doomed.kind === 'manifest') {
      for (const tag of doomed.tags) await this.#delete(change, { kind: 'tag', tag, digest });
    }
    await this.#ask('beforeDelete', placeOf(change), async (request, { beforeDelete }) => {
      if (doomed.kind === 'blob') return beforeDelete?.({ ...request, kind: 'blob', digest });
      const manifest = await request.read.manifest(digest);
      const what =
        doomed.kind === 'tag' ? ({ kind: 'tag', tag: doomed.tag } as const) : ({ kind: 'manifest' } as const);
      return beforeDelete?.({ ...request, ...what, digest, ...(manifest === undefined ? {} : { manifest }) });
    });
  };

  /** Returns the digest to serve instead, if any. */
  async #ask(
    name: HookName,
    { at, requested, actor, caller, holder, mayServe = false }: Place,
    call: (request: HookRequest, hooks: HookOptions) => Promise<HookPullDecision>,
  ): Promise<Digest | undefined> {
    const { find, hooks, runtime } = this.#parts;
    // Read once, so that a reload in the meantime does not change this call.
    const current = hooks();
    if (current === undefined) return undefined;
    const repository = holder ?? find(at.repository);
    if (repository === undefined) throw new RegistryError('NAME_UNKNOWN', { detail: { repository: at.repository } });
    const through = requested.repository === at.repository ? undefined : find(requested.repository);
    const outer = through && { repository: through, image: requested.image };
    const read = createImageReader(this.#parts, { repository, image: at.image }, caller, outer);
    const { timeoutSeconds } = current;
    return callHook({ name, at, requested, timeoutSeconds, mayServe }, runtime, (signal) =>
      call({ image: at, requested, actor, read, signal }, current),
    );
  }

  /** Counts a pull as the repository would have done. */
  #count({ config }: Repository, at: ImageKey, digest: Digest, counts: boolean, reference: Reference): void {
    const isStored = config.type === 'local' || (config.type === 'remote' && config.cache);
    if (counts && isStored) this.#parts.pullCounts.count(at, digest);
    else if (!counts && config.type === 'local' && 'tag' in reference) this.#parts.pullCounts.count(at, digest, 0);
  }
}

/** Background work has no caller. */
function placeOf({ at, actor, caller = backgroundCaller(actor) }: GatedChange): Place {
  return { at, actor, caller, requested: caller.requested ?? at };
}

/** Returns the manifest that a tag is to name: a push has its bytes, others are stored. */
async function readMoved(
  { read }: HookRequest,
  { digest, mediaType, bytes }: GatedTagMove['to'],
): Promise<HookManifest> {
  if (bytes !== undefined) return describeManifest({ digest, mediaType, bytes });
  const manifest = await read.manifest(digest);
  if (manifest === undefined) throw new Error(`the bytes of manifest ${digest} are missing or damaged`);
  return manifest;
}
