import type { Doomed, GatedChange } from '../../../ports/hooks.js';
import { RegistryError } from '../../../protocol/errors.js';
import { planDeletion, type DeletionPlan, type PlannedImage, type Targets } from './deletion-plan.js';
import type { LocalParts } from '../local-parts.js';

/**
 * Plans the deletion of the content that the delete hook allows to be deleted. Content that the hook refuses to delete
 * stays with everything that it needs, so the plan is made again until the hook has been asked about all of it. A dry run
 * calls the hook too, so that its report is accurate.
 * @throws RegistryError UNAVAILABLE when the hook fails.
 */
export async function planPermitted(
  image: Omit<PlannedImage, 'keptBy'>,
  targets: Targets,
  { hooks }: Pick<LocalParts, 'hooks'>,
  change: GatedChange,
): Promise<DeletionPlan> {
  const asked = new Set<string>();
  const reasons = new Map<string, string>();
  const ask = async (key: string, doomed: Doomed): Promise<boolean> => {
    if (asked.has(key)) return true;
    asked.add(key);
    const reason = await hooks.delete?.(change, doomed).then(() => undefined, reasonOf);
    if (reason !== undefined) reasons.set(key, reason);
    return reason === undefined;
  };
  for (;;) {
    const plan = await planDeletion({ ...image, keptBy: (key) => reasons.get(key) }, targets);
    if (hooks.delete === undefined) return plan;
    let isPermitted = true;
    for (const [tag, digest] of plan.tags) isPermitted = (await ask(tag, { kind: 'tag', tag, digest })) && isPermitted;
    // Its tags are in the plan too.
    for (const digest of plan.going.keys())
      isPermitted = (await ask(digest, { kind: 'manifest', digest, tags: [] })) && isPermitted;
    if (isPermitted) return plan;
  }
}

/** Returns the reason of a refusal. @throws the error if it is another one. */
function reasonOf(error: unknown): string {
  if (error instanceof RegistryError && error.code === 'DENIED') return error.message;
  throw error;
}
