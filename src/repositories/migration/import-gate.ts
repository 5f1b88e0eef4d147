import type { HookGate } from '../../ports/hooks.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type {
  Change,
  ImageRecords,
  LimitedWriter,
  MetadataWriter,
  Precondition,
  WriteOptions,
} from '../../ports/metadata/metadata.js';
import type { SourceFault } from '../../ports/operations/migration.js';
import type { ExceededUsage } from '../../ports/metadata/quotas.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { tryApplyWithin } from '../content/quota-writes.js';
import type { PlannedManifest } from './image-reader.js';

interface Growth {
  readonly at: ImageKey;
  readonly bytes: number;
}

/** The checks that an import into a running registry makes, as a push does. */
export interface ImportGate {
  readonly hooks: Pick<HookGate, 'manifestPut' | 'tagMove'>;
  readonly quotas: {
    hold<T>(
      config: LocalRepositoryConfig,
      images: readonly string[],
      by: Actor,
      measure: () => Promise<readonly Growth[]>,
      task: (require: readonly Precondition[]) => Promise<T>,
    ): Promise<T>;
    refusalOf(exceeded: ExceededUsage): RegistryError;
  };
}

interface GateParts {
  readonly metadata: MetadataWriter & LimitedWriter & ImageRecords;
  readonly by: Actor;
  readonly gate?: ImportGate | undefined;
}

/** Returns whether there is a hook to ask. */
export function hasHooks({ hooks }: ImportGate): boolean {
  return hooks.manifestPut !== undefined || hooks.tagMove !== undefined;
}

/**
 * Runs a task that adds manifests, while the room for them is held.
 * @throws RegistryError DENIED when they do not fit, and what the task throws.
 */
export function holdRoom(
  { metadata, by }: GateParts,
  { quotas }: ImportGate,
  manifests: readonly PlannedManifest[],
  config: LocalRepositoryConfig,
  task: (limits: readonly Precondition[]) => Promise<void>,
): Promise<void> {
  const added = manifests.filter(({ isPresent }) => !isPresent);
  const images = [...new Set(added.map(({ image }) => image.at.image))];
  const measure = (): Promise<readonly Growth[]> =>
    Promise.all(
      sizesOf(added).map(async ({ at, digest, size }) => {
        const link = await metadata.link(at, digest);
        const counts =
          (link !== undefined && link.inTrash !== true) || (await metadata.manifest(at, digest)) !== undefined;
        return { at, bytes: counts ? 0 : size };
      }),
    );
  return quotas.hold(config, images, by, measure, task);
}

/** Returns the content that manifests add to their images, each digest once for an image. */
function sizesOf(
  manifests: readonly PlannedManifest[],
): readonly { readonly at: ImageKey; readonly digest: Digest; readonly size: number }[] {
  const items = manifests.flatMap(({ image: { at }, manifest, blobs }) => [
    { at, digest: manifest.digest, size: manifest.bytes.length },
    ...blobs.map(({ digest, size }) => ({ at, digest, size })),
  ]);
  return [...new Map(items.map((item) => [`${item.at.image}@${item.digest}`, item])).values()];
}

/** Writes if all preconditions hold; false on a conflict. @throws RegistryError DENIED for a precondition `usage`. */
export function writeWithin(
  { metadata, gate }: GateParts,
  changes: readonly Change[],
  options: WriteOptions,
): Promise<boolean> {
  if (gate === undefined) return metadata.tryApply(changes, options);
  return tryApplyWithin({ metadata, quotas: gate.quotas }, changes, options);
}

/**
 * Returns why a hook refuses; `undefined` if it does not. A hook that fails refuses too, so that the rest is imported.
 */
export async function refusalOf(ask: () => Promise<void>): Promise<SourceFault | undefined> {
  try {
    await ask();
    return undefined;
  } catch (error) {
    if (error instanceof RegistryError) return refusedBy(error);
    throw error;
  }
}

/** Returns whether an error is the refusal of a quota. */
export function isRefusal(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.code === 'DENIED';
}

/** Returns the problem of content that was refused. */
export function refusedBy({ message }: RegistryError): SourceFault {
  return { problem: 'refused', message };
}
