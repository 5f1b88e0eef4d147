import type { ImageKey } from '../../ports/metadata/images.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { HookGate } from '../../ports/hooks.js';
import type { Change, Precondition } from '../../ports/metadata/metadata.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { trashUntilOf, type LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Doomed } from './retention-rules.js';

/** One write: a tag, or a manifest with all of its tags, so that the trash knows them. */
export interface Step {
  readonly tags: readonly Tag[];
  /** The digest that the tags name. */
  readonly digest: Digest;
  readonly manifest?: Doomed;
}

/** Joins the deletion of a manifest with that of its tags. Keeps the order of the manifests. */
export function toSteps(doomed: readonly Doomed[]): readonly Step[] {
  const manifests = doomed.filter(({ kind }) => kind === 'manifest');
  const digests = new Set(manifests.map(({ digest }) => digest));
  const alone = doomed.flatMap(({ tag, digest }) =>
    tag === undefined || digests.has(digest) ? [] : [{ tags: [tag], digest }],
  );
  const joined = manifests.map((manifest): Step => {
    const { digest } = manifest;
    const tags = doomed.flatMap(({ tag, digest: named }) => (tag !== undefined && named === digest ? [tag] : []));
    return { tags: tags.toSorted(), digest, manifest };
  });
  return [...alone, ...joined];
}

/** Asks the hook about a step. A hook that fails refuses it. */
export async function isPermitted(
  hooks: Pick<HookGate, 'delete'>,
  at: ImageKey,
  { tags, digest, manifest }: Step,
  actor: Actor,
): Promise<boolean> {
  const ask = hooks.delete;
  if (ask === undefined) return true;
  try {
    if (manifest !== undefined) await ask({ at, actor }, { kind: 'manifest', digest, tags });
    else for (const tag of tags) await ask({ at, actor }, { kind: 'tag', tag, digest });
    return true;
  } catch (error) {
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

/** Returns the write of a step, which conflicts when a tag moved or something needs the manifest again. */
export function describeStep(
  at: ImageKey,
  config: LocalRepositoryConfig,
  { tags, digest, manifest }: Step,
  when: number,
): { readonly changes: readonly Change[]; readonly require: readonly Precondition[] } {
  if (manifest === undefined) {
    return {
      changes: tags.map((tag) => ({ type: 'tag.delete', at, tag })),
      require: tags.map((tag) => ({ type: 'tag', at, tag, is: { digest } })),
    };
  }
  const { subject } = manifest;
  return {
    changes: [{ type: 'manifest.delete', at, digest, when, trashUntil: trashUntilOf(config, when) }],
    require: [
      { type: 'holders', at, digest, are: { tags, namedBy: [] } },
      ...(subject === undefined ? [] : [{ type: 'manifest', at, digest: subject, is: 'absent' } as const]),
    ],
  };
}
